// What is wrong with an OpenAPI document, as far as its structure tells: a list of sentences.
const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const places = ['query', 'header', 'path', 'cookie'];
const types = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === 'string' && value !== '';

// Keys that an object of the text has twice: JSON.parse takes the last and says nothing.
function findTwins(text) {
  const twins = [];
  const open = [];
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (key !== undefined && open.at(-1).has(key)) twins.push(`${key} is there twice`);
    else if (key !== undefined) open.at(-1).add(key);
  }
  return twins;
}

export function judgeOpenapi(text) {
  const faults = findTwins(text);
  const document = JSON.parse(text);
  const demand = (condition, what) => { if (!condition) faults.push(what); };
  const ids = new Set();

  function judgeSchema(schema, where) {
    demand(isObject(schema), `${where}: no schema`);
    for (const type of [schema?.type ?? []].flat()) demand(types.includes(type), `${where}: type ${type}`);
    const names = Object.keys(schema?.properties ?? {});
    for (const name of names) judgeSchema(schema.properties[name], `${where}.${name}`);
    for (const name of schema?.required ?? []) demand(names.includes(name), `${where}: required ${name} is no property`);
    if (schema?.items !== undefined) judgeSchema(schema.items, `${where}[]`);
    else demand(schema?.type !== 'array', `${where}: an array of what?`);
  }

  function judgeContent(content, where) {
    const media = Object.entries(isObject(content) ? content : {});
    demand(media.length > 0, `${where}: no content`);
    for (const [type, { schema }] of media) {
      demand(/^[a-z]+\/[a-z0-9.+-]+$/.test(type), `${where}: media type ${type}`);
      judgeSchema(schema, `${where} ${type}`);
    }
  }

  function judgeOperation(operation, path, where) {
    demand(isText(operation.operationId), `${where}: no operationId`);
    demand(!ids.has(operation.operationId), `${where}: another operation is ${operation.operationId}, too`);
    ids.add(operation.operationId);
    const parameters = operation.parameters ?? [];
    const seen = new Set();
    for (const { name, in: place, schema, required } of parameters) {
      demand(isText(name), `${where}: a parameter without a name`);
      demand(places.includes(place), `${where}: ${name} is in ${place}`);
      demand(!seen.has(`${place} ${name}`), `${where}: ${name} is declared twice`);
      demand(place !== 'path' || required === true, `${where}: ${name} of the path is not required`);
      seen.add(`${place} ${name}`);
      judgeSchema(schema, `${where} ${name}`);
    }
    const variables = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => `path ${name}`);
    for (const name of variables) demand(seen.has(name), `${where}: ${name} is not declared`);
    for (const name of seen) demand(!name.startsWith('path ') || variables.includes(name), `${where}: ${name} is not in it`);
    if (operation.requestBody !== undefined) judgeContent(operation.requestBody.content, `${where} requestBody`);
    const responses = Object.entries(operation.responses ?? {});
    demand(responses.length > 0, `${where}: no responses`);
    for (const [status, response] of responses) {
      demand(/^([1-5]\d\d|[1-5]XX|default)$/.test(status), `${where}: response ${status}`);
      demand(isText(response.description), `${where}: ${status} has no description`);
    }
    for (const scheme of (operation.security ?? []).flatMap(Object.keys))
      demand(isObject(document.components?.securitySchemes?.[scheme]), `${where}: no security scheme ${scheme}`);
  }

  function judgeReferences(value) {
    if (typeof value !== 'object' || value === null) return;
    if (typeof value.$ref === 'string') {
      const parts = value.$ref.split('/').slice(1).map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'));
      demand(value.$ref.startsWith('#/') && parts.reduce((at, part) => at?.[part], document) !== undefined, `${value.$ref} leads nowhere`);
    }
    Object.values(value).forEach(judgeReferences);
  }

  demand(/^3\.1\.\d+$/.test(document.openapi), `openapi ${document.openapi}`);
  demand(isText(document.info?.title) && isText(document.info?.version), 'info has no title or version');
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    demand(path.startsWith('/'), `the path ${path}`);
    for (const [method, operation] of Object.entries(item)) {
      demand(methods.includes(method), `${path}: method ${method}`);
      judgeOperation(operation, path, `${method} ${path}`);
    }
  }
  judgeReferences(document);
  return faults;
}
