// A card of the system page and the facts in it.
import type { ReactNode } from 'react';

export function Card({ title, state, children }: { title: string; state?: ReactNode; children: ReactNode }) {
  return (
    <section className="card pad">
      <div className="row-between">
        <h2>{title}</h2>
        {state}
      </div>
      {children}
    </section>
  );
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function StateMark({ state, children }: { state: 'streaming' | 'connecting' | 'stalled' | 'unreachable' | 'disabled'; children: ReactNode }) {
  return (
    <span className={`badge ${state}`}>
      <span className="dot" aria-hidden="true" />
      {children}
    </span>
  );
}
