/* token-source.ts - the bearer token of now.
 *
 * getAuthToken is the authority and asked at each use.  refreshAuthToken is called when its token
 * is about to expire or was refused, once at a time however many wait for it.  It answers the new
 * token, or null when the user is signed out; when it rejects, the refresh may be tried later.
 */
export type Token = string | null;

export interface TokenProvider {
  /* The token to send; null sends none. */
  getAuthToken?: () => Token | Promise<Token>;
  refreshAuthToken?: () => Promise<Token>;
}

const MARGIN_MS = 60000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Claims {
  exp?: unknown;
  iat?: unknown;
}

/* The payload of a JWT, for its times only: nothing is verified.  Undefined for other tokens. */
function readClaims(token: Token): Claims | undefined {
  const payload = token?.split('.')[1];
  if (!payload) return undefined;
  try {
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')));
    return claims && typeof claims === 'object' ? claims : undefined;
  } catch {
    return undefined;
  }
}

/* When a token should be replaced, in milliseconds of Date.now(): a minute before it expires, or
 * at half of a short life.  Undefined when the token does not say. */
export function renewalTime(token: Token): number | undefined {
  const { exp, iat } = readClaims(token) ?? {};
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return undefined;
  const lifeMs = typeof iat === 'number' && iat < exp ? (exp - iat) * 1000 : Infinity;
  return exp * 1000 - Math.min(MARGIN_MS, lifeMs / 2);
}

export class TokenSource {
  private readonly provider: TokenProvider;
  /* A refresh whose result the application may not have stored: while getAuthToken still says
   * `stored`, `fresh` is meant. */
  private renewed: { stored: Token; fresh: Token } | null = null;
  private stored: Token = null;
  private flight: Promise<Token> | null = null;
  /* Came out of a refresh and yet looks old: this clock is wrong, only the server can tell. */
  private undated: Token = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  constructor(provider: TokenProvider) {
    this.provider = provider;
  }

  /* The token to use now, refreshed before if that is due. */
  async current(): Promise<Token> {
    const token = await this.read();
    const due = this.due(token);
    if (due === undefined || due > Date.now()) return token;
    try {
      return await this.refresh();
    } catch (error) {
      // A token in its last minute is still good.
      const { exp } = readClaims(token) ?? {};
      if (typeof exp === 'number' && exp * 1000 > Date.now()) return token;
      throw error;
    }
  }

  /* Another token than the one that was refused, or null when there is none. */
  async renew(refused: Token): Promise<Token> {
    const token = await this.read();
    if (token !== refused) return token;
    return this.provider.refreshAuthToken ? this.refresh() : null;
  }

  /* Between start and stop a token is refreshed in time even if nobody uses it: some backends
   * only exchange a token that is still good. */
  start(): void {
    this.running = true;
    if (this.provider.refreshAuthToken) this.read().catch(() => undefined);
  }

  /* Ends the timer.  What a refresh brought belongs to the session that ends, too. */
  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
    this.renewed = null;
    this.undated = null;
  }

  private async read(): Promise<Token> {
    this.stored = (await this.provider.getAuthToken?.()) ?? null;
    if (this.renewed && this.renewed.stored !== this.stored) this.renewed = null;
    const token = this.renewed ? this.renewed.fresh : this.stored;
    this.arm(token);
    return token;
  }

  private due(token: Token): number | undefined {
    if (!this.provider.refreshAuthToken || token === null || token === this.undated)
      return undefined;
    return renewalTime(token);
  }

  private refresh(): Promise<Token> {
    this.flight ??= this.exchange().finally(() => {
      this.flight = null;
    });
    return this.flight;
  }

  private async exchange(): Promise<Token> {
    const { stored } = this;
    const fresh = (await this.provider.refreshAuthToken?.()) ?? null;
    this.renewed = { stored, fresh };
    const due = renewalTime(fresh);
    if (due !== undefined && due <= Date.now()) this.undated = fresh;
    this.arm(fresh);
    return fresh;
  }

  private arm(token: Token): void {
    clearTimeout(this.timer);
    const due = this.due(token);
    if (!this.running || due === undefined) return;
    const wait = due - Date.now();
    if (wait <= 0 || wait > LONGEST_TIMER_MS) return;
    this.timer = setTimeout(() => {
      // A failure shows where the token is used next.
      this.current().catch(() => undefined);
    }, wait);
    (this.timer as { unref?: () => void }).unref?.();
  }
}
