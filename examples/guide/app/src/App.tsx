import { PusherProvider } from 'carillon-js/react';
import { type FormEvent, useEffect, useMemo, useState } from 'react';
import { Chart } from './Chart';
import { Chat } from './Chat';
import { ConnectionBar } from './ConnectionBar';
import { DebugPane } from './DebugPane';
import { Environment } from './Environment';
import { People } from './People';
import { connect } from './realtime';
import { RobloxLog } from './RobloxLog';
import { makeUser, type Role, rememberedUser, rememberUser, type User } from './session';
import { SideBySide } from './SideBySide';

export function App() {
  const [user, setUser] = useState<User | null>(rememberedUser);
  const enter = (next: User | null): void => {
    rememberUser(next);
    setUser(next);
  };
  return user ? <Classroom key={user.id} user={user} onLeave={() => enter(null)} /> : <SignIn onEnter={enter} />;
}

const ROLES: { role: Role; what: string }[] = [
  { role: 'student', what: 'chats, builds environments' },
  { role: 'teacher', what: 'sees live analytics as well' },
  { role: 'admin', what: 'may do everything' },
];

function SignIn({ onEnter }: { onEnter: (user: User) => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('student');
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const trimmed = name.trim() || role[0]!.toUpperCase() + role.slice(1);
    void makeUser(trimmed, role).then(onEnter);
  };
  return (
    <main className="door">
      <form className="card" onSubmit={submit}>
        <h1>
          <Bell /> Classroom, live
        </h1>
        <p className="soft">
          The application of the migration guide. You sign in with a <strong>development token</strong> that this page
          makes itself: it works on this machine only.
        </p>
        <label className="field">
          Your name
          <input value={name} onChange={(event) => setName(event.target.value)} maxLength={40} autoComplete="off" autoFocus placeholder="Ada" />
        </label>
        <fieldset>
          <legend>You are a</legend>
          {ROLES.map((each) => (
            <label key={each.role} className="choice">
              <input type="radio" name="role" value={each.role} checked={role === each.role} onChange={() => setRole(each.role)} />
              <span>
                <strong>{each.role}</strong> <span className="soft">{each.what}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <button type="submit" className="primary">
          Sign in
        </button>
      </form>
    </main>
  );
}

function Classroom({ user, onLeave }: { user: User; onLeave: () => void }) {
  const service = useMemo(() => connect(user), [user]);
  useEffect(() => {
    service.initialize(); // again after StrictMode's rehearsal
    return () => service.disconnect();
  }, [service]);
  const mayWatch = user.role !== 'student';
  return (
    <PusherProvider service={service}>
      <header className="top">
        <div className="brand">
          <Bell /> <span>Classroom, live</span>
        </div>
        <div className="who">
          <span>
            {user.name} <span className="tag">{user.role}</span>
          </span>
          <button type="button" onClick={onLeave}>
            Sign out
          </button>
        </div>
      </header>
      <ConnectionBar />
      <main className="grid">
        <Chat user={user} />
        <People />
        <Environment user={user} />
        {mayWatch ? <Chart /> : null}
        <RobloxLog user={user} />
        <SideBySide />
        <DebugPane />
      </main>
    </PusherProvider>
  );
}

function Bell() {
  return (
    <svg className="bell" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
      <path d="M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6Z" fill="currentColor" />
      <path d="M9.5 19a2.5 2.5 0 0 0 5 0Z" fill="currentColor" />
    </svg>
  );
}
