/** The API room's face: HTTP over the use cases of control/. */
export type { Api } from './context.js';
export { type OpenApiDocument, openApiDocument } from './openapi.js';
export { buildApi } from './server.js';
