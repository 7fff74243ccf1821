// Who is signed in, with a development token that this page makes itself.  A real application gets
// its tokens from its own backend; the secret below is the one of examples/guide/guide.yaml, which
// the server accepts on loopback addresses only.
const DEVELOPMENT_SECRET = 'guide-development-secret-change-me-0123456789';
const LIFE_S = 15 * 60;

export type Role = 'student' | 'teacher' | 'admin';
export interface User {
  id: string;
  name: string;
  role: Role;
}

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

async function sign(text: string): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey(
    'raw',
    encoder.encode(DEVELOPMENT_SECRET),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  );
  return base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(text))));
}

export async function makeToken(user: User): Promise<string> {
  const part = (value: object): string => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user.id, name: user.name, role: user.role, iat: now, exp: now + LIFE_S };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${await sign(text)}`;
}

// A user is the same whenever that name signs in.  Ids stand in channel names, which allow few
// letters: what a name has beyond them, in any script, is in a digest of it.
export async function makeUser(name: string, role: Role): Promise<User> {
  const folded = name.normalize('NFC').toLowerCase().replace(/\s+/g, ' ');
  const readable = folded.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
  if (/^[a-z0-9 ]+$/.test(folded)) return { id: `${readable}-${role}`, name, role };
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(folded)));
  const hex = Array.from(digest.slice(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { id: `${readable || 'user'}_${hex}-${role}`, name, role };
}

const KEY = 'carillon-guide-user';

export function rememberedUser(): User | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as User | null;
  } catch {
    return null;
  }
}

export function rememberUser(user: User | null): void {
  if (user) sessionStorage.setItem(KEY, JSON.stringify(user));
  else sessionStorage.removeItem(KEY);
}
