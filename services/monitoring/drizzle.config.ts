// biome-ignore lint/style/noDefaultExport: drizzle-kit reads the default export
export default {
  dialect: 'postgresql',
  schema: './src/schema.ts',
  out: './migrations',
  schemaFilter: ['monitoring'],
};
