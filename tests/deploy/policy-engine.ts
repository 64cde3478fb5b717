import { BlockList, isIPv6 } from 'node:net';
import type { KubeObject } from '../../scripts/generate/chart.ts';
import { ofKind } from './workloads.ts';

type Labels = Record<string, string>;
type Selector = { matchLabels?: Labels };
type Peer = {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
};
type Rule = { ports?: { protocol: string; port: number }[]; from?: Peer[]; to?: Peer[] };
type PolicySpec = { podSelector: Selector; policyTypes: string[]; ingress?: Rule[]; egress?: Rule[] };

/** Somebody who sends or is sent to: a pod of a namespace, or an address outside. */
export type Party = {
  labels?: Labels;
  /** Its namespace; absent for the one of the policies. */
  namespace?: string;
  address?: string;
};

const selects = (selector: Selector, labels: Labels = {}): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([name, value]) => labels[name] === value);

function isWithin(address: string, cidr: string): boolean {
  const [network = '', bits] = cidr.split('/');
  if (isIPv6(network) !== isIPv6(address)) return false;
  const type = isIPv6(network) ? 'ipv6' : 'ipv4';
  if (Number(bits) === 0) return true;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), type);
  return list.check(address, type);
}

function admits(peer: Peer, party: Party): boolean {
  if (peer.ipBlock !== undefined) {
    const { cidr, except = [] } = peer.ipBlock;
    const { address } = party;
    return address !== undefined && isWithin(address, cidr) && !except.some((one) => isWithin(address, one));
  }
  if (party.address !== undefined) return false;
  if (peer.namespaceSelector === undefined) {
    return party.namespace === undefined && selects(peer.podSelector ?? {}, party.labels);
  }
  const namespace: Labels = { 'kubernetes.io/metadata.name': party.namespace ?? '' };
  return selects(peer.namespaceSelector, namespace) && selects(peer.podSelector ?? {}, party.labels);
}

/** Answers whether policies let one party reach another on a port, as the API describes them. */
export function createPolicyEngine(
  objects: readonly KubeObject[],
): (from: Party, to: Party, port: number, protocol?: string) => boolean {
  const policies = ofKind<PolicySpec>(objects, 'NetworkPolicy').map(({ spec }) => spec);
  const side = (
    who: Party,
    other: Party,
    direction: 'Ingress' | 'Egress',
    port: number,
    protocol: string,
  ): boolean => {
    if (who.address !== undefined || who.namespace !== undefined) return true;
    const own = policies.filter(
      ({ podSelector, policyTypes }) => policyTypes.includes(direction) && selects(podSelector, who.labels),
    );
    if (own.length === 0) return true;
    const rules = own.flatMap(({ ingress = [], egress = [] }) =>
      direction === 'Ingress' ? ingress : egress,
    );
    return rules.some((rule) => {
      const isPort = rule.ports?.some((one) => one.port === port && one.protocol === protocol) ?? true;
      const peers = direction === 'Ingress' ? rule.from : rule.to;
      return isPort && (peers === undefined || peers.some((peer) => admits(peer, other)));
    });
  };
  return (from, to, port, protocol = 'TCP') =>
    side(from, to, 'Egress', port, protocol) && side(to, from, 'Ingress', port, protocol);
}
