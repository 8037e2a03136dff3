"""The sound of the demo camera: quiet street noise, 16 kHz mono."""

import wave
from pathlib import Path

import numpy as np

RATE_HZ = 16000


def write_street_noise(path: Path, seconds: int, seed: int) -> None:
    """Writes a loop of low-passed noise with a slow swell and a marker tone of 0.1 s at each 10 s."""
    rng = np.random.default_rng(seed)
    count = seconds * RATE_HZ
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / (1 + (frequency / 220.0) ** 1.5), count)
    t = np.arange(count) / RATE_HZ
    sound = noise / np.abs(noise).max() * (0.12 + 0.05 * np.sin(2 * np.pi * t / seconds))
    tone = (t % 10.0) < 0.1
    sound[tone] += 0.1 * np.sin(2 * np.pi * 880 * t[tone])
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
