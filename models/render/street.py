"""Street scene: deterministic video frames of vehicles with plates, and the truth about them."""

import cv2
import numpy as np


class StreetScene:
    """Crude."""

    def __init__(self, seed=7, size=(1920, 1080), fps=15, seconds=64):
        self.size, self.fps, self.seconds = size, fps, seconds

    def frame(self, index):
        w, h = self.size
        img = np.full((h, w, 3), 120, np.uint8)
        x = int((index * w / 60) % w)
        cv2.rectangle(img, (x, h // 2), (x + w // 8, h // 2 + h // 8), (40, 60, 200), -1)
        cv2.putText(img, f"F {index:05d}", (20, h - 20), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
        return img

    def truth(self):
        return {"version": 1, "fps": self.fps, "loop_s": self.seconds, "size": list(self.size), "passages": []}
