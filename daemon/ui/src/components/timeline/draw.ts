// Draws the timeline of several cameras on a canvas: coverage, gaps, passages, alerts, the grid of times.
import type { CameraTimeline, TimelineMark } from '../../api/types';
import type { LackingHour } from '../../lib/use-coverage';
import { DAY, HOUR, MINUTE, position, stepFor, ticks, type Span, type Window } from '../../lib/timeline';

export const AXIS = 22;
/** Where marks lie in a row; below them is the strip of coverage. */
export const MARKS = 20;

export interface Look {
  width: number;
  row: number;
  window: Window;
  cameras: (CameraTimeline | undefined)[];
  selection: Span | null;
  locks: (Span & { camera: string })[];
  lacking: LackingHour[];
  percent: (share: number) => string;
  now: number;
  label: (time: number, step: number) => string;
}

interface Colors {
  line: string;
  soft: string;
  text: string;
  sunken: string;
  accent: string;
  bad: string;
  warn: string;
  good: string;
}

export function draw(canvas: HTMLCanvasElement, look: Look): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const ratio = globalThis.devicePixelRatio || 1;
  const height = AXIS + look.row * look.cameras.length;
  if (canvas.width !== Math.round(look.width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(look.width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(canvas);
  const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const colors: Colors = {
    line: color('line'),
    soft: color('soft'),
    text: color('text'),
    sunken: color('sunken'),
    accent: color('accent'),
    bad: color('bad'),
    warn: color('warn'),
    good: color('good'),
  };
  context.clearRect(0, 0, look.width, height);
  const x = (time: number): number => position(time, look.window) * look.width;
  look.cameras.forEach((camera, index) => row(context, look, colors, camera, AXIS + index * look.row, x));
  axis(context, look, colors, height, x, style.fontFamily);
  if (look.selection) {
    const [left, right] = [x(look.selection.start), x(look.selection.end)];
    context.globalAlpha = 0.16;
    context.fillStyle = colors.accent;
    context.fillRect(left, AXIS, right - left, height - AXIS);
    context.globalAlpha = 1;
    context.fillRect(left - 1, AXIS, 2, height - AXIS);
    context.fillRect(right - 1, AXIS, 2, height - AXIS);
  }
}

function axis(context: CanvasRenderingContext2D, look: Look, colors: Colors, height: number, x: (time: number) => number, font: string): void {
  const count = Math.max(2, Math.floor(look.width / 84));
  const step = stepFor(look.window, count);
  context.font = `12px ${font}`;
  context.textBaseline = 'middle';
  context.textAlign = 'center';
  for (const time of ticks(look.window, count)) {
    const at = Math.round(x(time)) + 0.5;
    context.globalAlpha = 0.55;
    context.strokeStyle = colors.line;
    context.beginPath();
    context.moveTo(at, AXIS - 4);
    context.lineTo(at, height);
    context.stroke();
    context.globalAlpha = 1;
    context.fillStyle = colors.soft;
    const label = look.label(time, step);
    const half = context.measureText(label).width / 2;
    if (at - half > 2 && at + half < look.width - 2) context.fillText(label, at, AXIS / 2 - 1);
  }
}

function row(context: CanvasRenderingContext2D, look: Look, colors: Colors, camera: CameraTimeline | undefined, top: number, x: (time: number) => number): void {
  const bar = top + MARKS;
  const tall = look.row - MARKS - 6;
  context.fillStyle = colors.sunken;
  round(context, 0, bar, look.width, tall, 4);
  if (!camera) return;
  const { window } = look;
  context.save();
  context.beginPath();
  context.rect(0, top, look.width, look.row);
  context.clip();
  context.fillStyle = colors.accent;
  for (const [start, end] of camera.spans) {
    if (end > window.start && start < window.end) context.fillRect(x(start), bar, Math.max(1.5, x(end) - x(start)), tall);
  }
  for (const gap of camera.gaps) {
    if (gap.end <= window.start || gap.start >= window.end) continue;
    const [left, right] = [x(gap.start), x(gap.end)];
    // Several gaps in one place are as wide as what is missing, in the middle of them.
    const wide = Math.max(2, gap.count > 1 ? ((right - left) * gap.missing) / (gap.end - gap.start) : right - left);
    const from = (left + right) / 2 - wide / 2;
    context.clearRect(from, bar, wide, tall);
    context.globalAlpha = 0.28;
    context.fillStyle = colors.bad;
    context.fillRect(from, bar, wide, tall);
    context.globalAlpha = 1;
    context.fillRect(from, bar + tall - 4, wide, 4);
  }
  figures(context, look, colors, camera.camera, bar, tall, x);
  context.fillStyle = colors.warn;
  for (const lock of look.locks) {
    if (lock.camera === camera.camera) context.fillRect(x(lock.start), bar - 2, Math.max(2, x(lock.end) - x(lock.start)), 3);
  }
  passages(context, camera.detections, window, x, bar, colors);
  for (const alert of camera.alerts) {
    if (alert.at < window.start || alert.at > window.end) continue;
    const at = x(alert.at);
    context.fillStyle = alert.severity === 'info' ? colors.soft : alert.severity === 'warning' ? colors.warn : colors.bad;
    context.beginPath();
    context.moveTo(at, bar - 2);
    context.lineTo(at - 5.5, top + 6);
    context.lineTo(at + 5.5, top + 6);
    context.closePath();
    context.fill();
  }
  context.restore();
}

/** How much was recorded of the hours in which something is missing, where there is room to write it. */
function figures(context: CanvasRenderingContext2D, look: Look, colors: Colors, camera: string, bar: number, tall: number, x: (time: number) => number): void {
  context.font = `600 11px ${getComputedStyle(context.canvas).fontFamily}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const hour of look.lacking) {
    if (hour.camera !== camera) continue;
    const [left, right] = [Math.max(0, x(hour.start)), Math.min(look.width, x(hour.start + HOUR))];
    const text = look.percent(hour.share);
    const wide = context.measureText(text).width + 10;
    if (right - left < wide) continue;
    const middle = (left + right) / 2;
    context.fillStyle = colors.bad;
    round(context, middle - wide / 2, bar + tall / 2 - 8, wide, 16, 8);
    context.fillStyle = '#fff';
    context.fillText(text, middle, bar + tall / 2 + 0.5);
  }
}

/** One line a passage; where they are many, the taller the more. */
function passages(context: CanvasRenderingContext2D, marks: TimelineMark[], window: Window, x: (time: number) => number, bar: number, colors: Colors): void {
  const columns = new Map<number, number>();
  for (const mark of marks) {
    if (mark.at < window.start || mark.at > window.end) continue;
    const column = Math.round(x(mark.at) / 2) * 2;
    columns.set(column, (columns.get(column) ?? 0) + mark.count);
  }
  context.fillStyle = colors.text;
  for (const [column, count] of columns) {
    const tall = Math.min(MARKS - 4, 7 + 3 * Math.log2(count));
    context.globalAlpha = 0.75;
    context.fillRect(column - 0.75, bar - 2 - tall, 1.5, tall);
  }
  context.globalAlpha = 1;
}

function round(context: CanvasRenderingContext2D, left: number, top: number, width: number, height: number, radius: number): void {
  context.beginPath();
  context.roundRect(left, top, width, height, radius);
  context.fill();
}

/** How a tick of this step is written: the date at midnight, else the clock. */
export function tickFormat(time: number, step: number): Intl.DateTimeFormatOptions {
  const date = new Date(time / 1000);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
  if (step >= DAY || midnight) return { day: '2-digit', month: 'short' };
  if (step >= MINUTE) return { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  return { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
}
