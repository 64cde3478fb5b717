/** A header of this length holds the longest token; more is not decoded. */
const LENGTH_MAX = 24_576;
const BASIC = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;

/**
 * Authorization of HTTP Basic as the Bearer that its password is, whatever the user name; any other as it is. What
 * decodes to no password stays Basic, which nothing takes.
 */
export function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > LENGTH_MAX) return authorization;
  const encoded = BASIC.exec(authorization)?.[1];
  if (encoded === undefined) return authorization;
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 || colon === pair.length - 1 ? authorization : `Bearer ${pair.slice(colon + 1)}`;
}
