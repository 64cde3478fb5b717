import { parser } from '@prometheus-io/lezer-promql';

/** What a PromQL expression asks for: metrics with the labels it matches, and labels it groups by. */
export type Asked = {
  selectors: { metric: string | undefined; namePattern: string | undefined; labels: string[] }[];
  groupings: { labels: string[]; from: number; to: number }[];
};

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];

/** Reads an expression by Prometheus's own grammar; throws where it is none. */
export function readPromql(expression: string): Asked {
  // variables of Grafana stand for a duration and for any text
  const text = expression.replaceAll('$__rate_interval', '5m').replaceAll(/"\$\w+"/g, '".*"');
  const asked: Asked = { selectors: [], groupings: [] };
  const tree = parser.parse(text);
  const visit = (node: SyntaxNode): void => {
    if (node.type.isError) throw new Error(`not PromQL at ${node.from}: ${expression}`);
    if (node.name === 'VectorSelector') asked.selectors.push(selectorOf(node, text));
    if (node.name === 'GroupingLabels')
      asked.groupings.push({ labels: namesIn(node, text), from: node.from, to: node.to });
    for (let child = node.firstChild; child !== null; child = child.nextSibling) visit(child);
  };
  visit(tree.topNode);
  return asked;
}

function selectorOf(node: SyntaxNode, text: string): Asked['selectors'][number] {
  const name = node.getChild('Identifier');
  const matchers = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
  const pairs = matchers.map((matcher) => {
    const [label, value] = [matcher.getChild('LabelName'), matcher.getChild('StringLiteral')];
    return [slice(label, text), slice(value, text).slice(1, -1)] as const;
  });
  return {
    metric: name === null ? undefined : slice(name, text),
    namePattern: pairs.find(([label]) => label === '__name__')?.[1],
    labels: pairs.map(([label]) => label).filter((label) => label !== '__name__'),
  };
}

const slice = (node: SyntaxNode | null, text: string): string =>
  node === null ? '' : text.slice(node.from, node.to);

function namesIn(node: SyntaxNode, text: string): string[] {
  return (
    slice(node, text)
      .match(/[A-Za-z_]\w*/g)
      ?.filter((name) => name !== 'by' && name !== 'without') ?? []
  );
}
