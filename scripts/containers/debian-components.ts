/** An installed package of Debian as a component of CycloneDX. */
export type DebianComponent = {
  type: 'library';
  name: string;
  version: string;
  purl: string;
  'bom-ref': string;
};

/** The packages that a status file of dpkg (`/var/lib/dpkg/status`) lists as installed, by name. */
export function debianComponents(status: string): DebianComponent[] {
  const components: DebianComponent[] = [];
  for (const paragraph of status.split(/\n\n+/)) {
    const field = (name: string): string =>
      new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1]?.trim() ?? '';
    const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
    if (name === '' || version === '' || !field('Status').endsWith(' installed')) continue;
    const encoded = encodeURIComponent(version).replaceAll('%3A', ':');
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encoded}?arch=${architecture}`;
    components.push({ type: 'library', name, version, purl, 'bom-ref': purl });
  }
  return components.sort((a, b) => (a.name < b.name ? -1 : 1));
}
