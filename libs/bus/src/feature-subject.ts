/** Subject of rows for a feature view: `millrace.feature.<viewId>`, in the stream `featureRows`. */
export function featureSubject(viewId: string): string {
  return `millrace.feature.${viewId}`;
}
