import type { ServerLimits } from '../config/config.js';
import { describeErrors, ERROR_SCHEMAS } from './errors.js';
import { goBody } from './go-body.js';
import { type JsonSchema, SchemaBook } from './json-schema.js';
import type { Answer, Operation, Parameter, RequestBody } from './operation.js';
import { OPERATIONS } from './operations.js';

/** What of a server's configuration its document tells. */
export interface DocumentFacts {
  readonly version: string;
  /** Then nobody needs to say who they are. */
  readonly development: boolean;
  readonly publicUrl?: string | undefined;
  readonly limits: ServerLimits;
}

/**
 * The OpenAPI 3.1 document of the whole HTTP API, from the schemas that read the requests.
 *
 * Source: https://spec.openapis.org/oas/v3.1.1
 */
export function openApiDocument(facts: DocumentFacts): JsonSchema {
  const book = new SchemaBook();
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const [route, operation] of Object.entries(OPERATIONS)) {
    const [method = '', path = ''] = route.split(' ');
    paths[path] = { ...paths[path], [method.toLowerCase()]: describe(method, operation, facts, book) };
  }
  for (const schema of ERROR_SCHEMAS) book.add(schema, 'output');
  return {
    openapi: '3.1.1',
    info: {
      title: 'coffer',
      version: facts.version,
      summary: 'A secrets service',
      description: ABOUT,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: facts.publicUrl ?? '/' }],
    tags: [
      { name: 'Secrets', description: 'setec’s API and what goes with it' },
      { name: 'Administration', description: 'Tokens, policy, keys, audit, backup' },
      { name: 'Server', description: 'How the server is' },
    ],
    paths,
    components: {
      schemas: limited(book.components, facts.limits),
      parameters: PARAMETERS,
      headers: HEADERS,
      securitySchemes: SECURITY_SCHEMES,
    },
  };
}

const ABOUT = `Every error carries the header \`Coffer-Error\`, a code for programs. Requests under \`/api/\` carry
\`Sec-X-Tailscale-No-Browsers: setec\`, which no web page can send. The content type of a body is \`application/json\`,
without parameters.

The methods under Secrets that setec has read their bodies as Go does: names of fields match in any case, unknown fields
are ignored, null is a field’s zero, and what follows the first JSON value is not looked at. All other bodies are strict.`;

const BROWSER_HEADER = 'Sec-X-Tailscale-No-Browsers';
const BROWSER_PARAMETER = { $ref: '#/components/parameters/NoBrowsers' };
const POSITION_HEADER = { $ref: '#/components/headers/Position' };
const SEEN_PARAMETER = { $ref: '#/components/parameters/Seen' };
const OPERATION_PARAMETER = { $ref: '#/components/parameters/Operation' };

const PARAMETERS = {
  NoBrowsers: {
    name: BROWSER_HEADER,
    in: 'header',
    required: true,
    description:
      'Keeps out what web pages forge: no script in a browser can set a header that begins with Sec-.',
    schema: { type: 'string', const: 'setec' },
    example: 'setec',
  },
  Operation: {
    name: 'Coffer-Operation',
    in: 'header',
    description:
      'Makes a retry harmless: the same change by the same caller with the same id is answered as the first one was, and ' +
      'changes nothing.',
    schema: { type: 'string', pattern: '^[!-~]{1,128}$' },
    example: 'rotate-42',
  },
  Seen: {
    name: 'Coffer-Seen',
    in: 'header',
    description:
      'Where several instances share a store: the newest Coffer-Position that the caller was given by any of them. It is answered ' +
      'nothing older. Elsewhere it means nothing.',
    // Its form is not told, since a store that is not shared takes any.
    schema: { type: 'string' },
    example: '5f0c9a1e27b8d463-1-4711',
  },
};

const HEADERS = {
  RetryAfter: { description: 'Seconds', required: true, schema: { type: 'string', pattern: '^[0-9]+$' } },
  Position: {
    description: 'How far the store is, where several instances share it; for Coffer-Seen.',
    schema: { type: 'string' },
    example: '5f0c9a1e27b8d463-1-4711',
  },
  Challenge: { required: true, schema: { type: 'string' }, example: 'Bearer, Basic realm="coffer"' },
};

const SECURITY_SCHEMES = {
  token: { type: 'http', scheme: 'bearer', description: 'A token of `coffer token create`.' },
  password: {
    type: 'http',
    scheme: 'basic',
    description: 'Any user’s name, with the token or the proof as the password.',
  },
  proof: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'coffer-proof-v1',
    description:
      'What a NATS user signs for a minute, for one server; for a change, for that request. Where the server trusts identities.',
  },
};

function describe(method: string, operation: Operation, facts: DocumentFacts, book: SchemaBook): JsonSchema {
  const { id, tag, summary, description, callers, request, change } = operation;
  const parameters = [
    ...(callers === 'known' ? [BROWSER_PARAMETER, SEEN_PARAMETER] : []),
    ...(change ? [OPERATION_PARAMETER] : []),
    ...(operation.parameters ?? []).map((parameter) => describeParameter(parameter, book)),
  ];
  const open = callers === 'everybody' || facts.development;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(request === undefined ? {} : { requestBody: describeBody(request, book) }),
    security: open ? [] : [{ token: [] }, { password: [] }, { proof: [] }],
    responses: {
      ...describeErrors(method, operation, facts.development),
      ...describeAnswers(operation, book),
    },
  };
}

function describeParameter(parameter: Parameter, book: SchemaBook): JsonSchema {
  const { name, in: place, description, schema, repeatable } = parameter;
  const one = book.add(schema, 'input');
  return {
    name,
    in: place,
    description,
    ...(place === 'path' && { required: true }),
    ...(repeatable
      ? { schema: { type: 'array', items: one }, style: 'form', explode: true }
      : { schema: one }),
  };
}

function describeBody({ schema, form, example }: RequestBody, book: SchemaBook): JsonSchema {
  const fields = book.add(schema, 'input');
  const body = form === 'go' ? goBody(fields, (field) => book.resolve(field)) : fields;
  return { required: true, content: { 'application/json': { schema: body, example } } };
}

function describeAnswers({ answers, links, callers }: Operation, book: SchemaBook): JsonSchema {
  const described = Object.entries(answers).map(([status, answer]) => [
    status,
    {
      ...describeAnswer(answer, book),
      ...(callers === 'known' ? { headers: { 'Coffer-Position': POSITION_HEADER } } : {}),
      ...(links && status === '200' ? { links: describeLinks(links) } : {}),
    },
  ]);
  return Object.fromEntries(described);
}

function describeLinks(links: NonNullable<Operation['links']>): JsonSchema {
  const described = Object.entries(links).map(([operationId, requestBody]) => [
    operationId,
    { operationId, requestBody },
  ]);
  return Object.fromEntries(described);
}

function describeAnswer({ description, type, schema, example }: Answer, book: SchemaBook): JsonSchema {
  if (type === undefined) return { description };
  const media = {
    ...(schema === undefined ? {} : { schema: book.add(schema, 'output') }),
    ...(example === undefined ? {} : { example }),
  };
  return { description, content: { [type]: media } };
}

/** The limits that this server has been given. */
function limited(
  schemas: Record<string, JsonSchema>,
  { nameBytes }: ServerLimits,
): Record<string, JsonSchema> {
  const bounds = { maxLength: nameBytes, description: `1 to ${nameBytes} bytes of UTF-8.` };
  const names = ['SecretName', 'WritableSecretName'].map((name) => [name, { ...schemas[name], ...bounds }]);
  return { ...schemas, ...Object.fromEntries(names) };
}
