import Pusher from 'pusher-js';
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Panel } from './Panel';
import { debugLog } from './realtime';

export function DebugPane() {
  const [isOn, setIsOn] = useState(true);
  const [toConsole, setToConsole] = useState(Pusher.logToConsole);
  const lines = useSyncExternalStore(debugLog.subscribe, debugLog.lines);
  const end = useRef<HTMLOListElement>(null);
  useEffect(() => {
    if (end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [lines]);
  const change = (): void => {
    Pusher.logToConsole = !Pusher.logToConsole;
    setToConsole(Pusher.logToConsole);
  };
  return (
    <Panel id="debug" title="What pusher-js says" width="full">
      <div className="row">
        <label className="choice">
          <input type="checkbox" checked={isOn} onChange={() => setIsOn(!isOn)} /> Show
        </label>
        <label className="choice">
          <input type="checkbox" checked={toConsole} onChange={change} /> <code>Pusher.logToConsole</code>
        </label>
      </div>
      {isOn ? (
        <ol className="log code" ref={end} aria-label="Debug log" tabIndex={0}>
          {lines.map((line) => (
            <li key={line.id}>{line.text}</li>
          ))}
        </ol>
      ) : null}
    </Panel>
  );
}
