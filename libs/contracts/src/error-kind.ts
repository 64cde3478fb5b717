/** What the platform does about an error: the HTTP status it answers with and whether trying again can help. */
export type ErrorKind = { readonly status: number; readonly retryable: boolean; readonly doc: string };
