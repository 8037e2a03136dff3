// The sound of an alert: two short notes made on the spot, as browsers allow it once somebody has touched the page.
import type { Severity } from '../api/types';

const NOTES: Record<Severity, number[]> = { info: [660], warning: [660, 880], critical: [880, 660, 880, 660] };
const NOTE_S = 0.16;

let audio: AudioContext | null = null;

export function ring(severity: Severity): void {
  audio ??= new AudioContext();
  const context = audio;
  void context.resume().then(() => {
    NOTES[severity].forEach((frequency, i) => {
      const [tone, volume] = [context.createOscillator(), context.createGain()];
      const at = context.currentTime + i * NOTE_S;
      tone.frequency.value = frequency;
      // A soft end: a tone cut off clicks.
      volume.gain.setValueAtTime(0.25, at);
      volume.gain.exponentialRampToValueAtTime(0.001, at + NOTE_S);
      tone.connect(volume).connect(context.destination);
      tone.start(at);
      tone.stop(at + NOTE_S);
    });
  });
}
