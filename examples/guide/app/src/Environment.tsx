import { usePusherChannel, usePusherService } from 'carillon-js/react';
import { useState } from 'react';
import { Panel } from './Panel';
import type { User } from './session';

interface Step {
  type: string;
  request_id: string;
  environment_type: string;
  progress?: number;
  result?: { id: string; status: string };
  error?: string;
}
interface Job {
  id: string;
  kind: string;
  progress: number;
  end: string | null;
}

const KINDS = ['maze', 'castle', 'laboratory'];

export function Environment({ user }: { user: User }) {
  const service = usePusherService();
  const [kind, setKind] = useState(KINDS[0]!);
  const [jobs, setJobs] = useState<Job[]>([]);
  const [fault, setFault] = useState<Error | null>(null);
  const channel = `private-user-${user.id}`;
  const change = (id: string, made: (job: Job) => Job): void =>
    setJobs((all) => all.map((job) => (job.id === id ? made(job) : job)));
  const { status, error } = usePusherChannel(channel, {
    environment_creation_started: (step: Step) =>
      setJobs((all) =>
        [{ id: step.request_id, kind: step.environment_type, progress: 0, end: null }, ...all].slice(0, 5),
      ),
    message: (step: Step) => {
      if (step.type === 'environment_creation_progress')
        change(step.request_id, (job) => ({ ...job, progress: step.progress ?? job.progress }));
      else if (step.type === 'environment_creation_completed')
        change(step.request_id, (job) => ({ ...job, progress: 100, end: `ready: ${step.result?.id ?? ''}` }));
      else if (step.type === 'error' && step.request_id)
        change(step.request_id, (job) => ({ ...job, end: `failed: ${step.error ?? ''}` }));
    },
  });
  const start = (): void => {
    setFault(null);
    service.createEnvironment({ environment_type: kind }).catch((reason: Error) => setFault(reason));
  };
  return (
    <Panel id="environment" title="Environment" channel={channel} status={status} error={fault ?? error}>
      <div className="row">
        <label className="grow">
          <span className="hidden">Kind of environment</span>
          <select value={kind} onChange={(event) => setKind(event.target.value)}>
            {KINDS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <button type="button" className="primary" onClick={start}>
          Start
        </button>
      </div>
      {jobs.length === 0 ? <p className="soft">Its steps come as events on your own channel.</p> : null}
      {jobs.map((job) => (
        <div key={job.id} className="job" data-testid="job">
          <label>
            {job.kind}
            <progress max={100} value={job.progress} />
          </label>
          <span role="status">{job.end ?? `${job.progress} %`}</span>
        </div>
      ))}
    </Panel>
  );
}
