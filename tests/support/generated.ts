/** The files that are made from the code; `npm run generate` writes them, a test compares them. */
import openapiTS, { astToString } from 'openapi-typescript';
import { format, resolveConfig } from 'prettier';
import { openApiDocument } from '../../src/api/index.js';
import { configurationDocument, loadConfig } from '../../src/config/index.js';

const HEAD =
  '/** Made from the OpenAPI document by `npm run generate`; change src/api/ instead. */\n';

async function clientTypes(): Promise<string> {
  const document = await openApiDocument(loadConfig({ env: {} }));
  // openapi-typescript refuses a document that is not valid OpenAPI.
  const ast = await openapiTS(document as unknown as Parameters<typeof openapiTS>[0], {
    alphabetize: true,
  });
  return HEAD + astToString(ast);
}

async function configurationText(): Promise<string> {
  const path = 'docs/configuration.md';
  return format(configurationDocument(), { ...(await resolveConfig(path)), filepath: path });
}

/** Path in the repository to content. */
export async function generatedFiles(): Promise<Record<string, string>> {
  return {
    'src/client/generated/schema.d.ts': await clientTypes(),
    'docs/configuration.md': await configurationText(),
  };
}
