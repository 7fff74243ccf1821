/* failure-code.ts - why a request failed, in words that code can switch on. */
export type FailureCode =
  | 'unauthorized' // 401, after one refresh of the token
  | 'forbidden' // 403
  | 'not_found' // 404, 410: a wrong endpoint
  | 'invalid' // 400, 413, 415, 422: the request itself is wrong
  | 'rate_limited' // 429
  | 'unavailable' // 502, 503, 504
  | 'server' // any other 5xx
  | 'refused' // any other status that is no success
  | 'network' // no answer: offline, DNS, refused, CORS
  | 'timeout' // no answer in time
  | 'aborted' // the caller's signal
  | 'response'; // 2xx, but not what was promised

const CODES: Readonly<Record<number, FailureCode>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  410: 'not_found',
  413: 'invalid',
  415: 'invalid',
  422: 'invalid',
  429: 'rate_limited',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

export function failureCode(status: number): FailureCode {
  return CODES[status] ?? (status >= 500 ? 'server' : 'refused');
}

/* One field that the server refused (422). */
export interface ValidationIssue {
  loc: ReadonlyArray<string | number>;
  msg: string;
  type: string;
}

/* What the server says in {"detail": ...}. */
export type FailureDetail = string | ReadonlyArray<ValidationIssue> | null;

function describeDetail(detail: FailureDetail): string {
  if (detail === null || typeof detail === 'string') return detail ?? '';
  return detail.map((issue) => `${issue.loc.join('.')}: ${issue.msg}`).join('; ');
}

/* One line of everything that is known: "message failed: invalid (422): body.x: Field required". */
export function describeFailure(
  what: string,
  code: FailureCode,
  status: number,
  detail: FailureDetail = null,
): string {
  const said = describeDetail(detail);
  return `${what} failed: ${code}${status ? ` (${status})` : ''}${said ? `: ${said}` : ''}`;
}
