// Pure. Reads counters out of the box's `/metrics`, in the text format of Prometheus.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** All samples of a text; comments and what is no sample are left out. */
export function samples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    const [name, labels, value] = [match?.[1], match?.[2] ?? '', Number(match?.[3])];
    if (name === undefined || Number.isNaN(value)) return [];
    const pairs = [...labels.matchAll(/([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g)];
    return [{ name, labels: Object.fromEntries(pairs.map((pair) => [pair[1] ?? '', pair[2] ?? ''])), value }];
  });
}

/** One counter summed over everything but `label`, largest first; only samples that hold all of `where`. */
export function sums(all: Sample[], name: string, label: string, where: Record<string, string> = {}): [string, number][] {
  const found = new Map<string, number>();
  for (const sample of all) {
    if (sample.name !== name || Object.entries(where).some(([key, value]) => sample.labels[key] !== value)) continue;
    const key = sample.labels[label] ?? '';
    found.set(key, (found.get(key) ?? 0) + sample.value);
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}
