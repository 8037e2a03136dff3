//! Pure. Rectangles, plate quadrilaterals and the homography between a plate and its upright picture.
//!
//! Coordinates are pixels of the picture, x to the right and y down, with pixel `i` covering `[i, i + 1)`.

/// An axis-aligned rectangle with `x1 <= x2` and `y1 <= y2`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

impl Rect {
    pub const fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    pub fn width(&self) -> f32 {
        self.x2 - self.x1
    }

    pub fn height(&self) -> f32 {
        self.y2 - self.y1
    }

    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    pub fn center(&self) -> [f32; 2] {
        [f32::midpoint(self.x1, self.x2), f32::midpoint(self.y1, self.y2)]
    }

    /// Intersection over union; 0 when either is empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let common = Self {
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
            x2: self.x2.min(other.x2),
            y2: self.y2.min(other.y2),
        }
        .area();
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// Grown by a fraction of its own width and height on every side.
    pub fn grow(&self, by_width: f32, by_height: f32) -> Self {
        let (dx, dy) = (self.width() * by_width, self.height() * by_height);
        Self::new(self.x1 - dx, self.y1 - dy, self.x2 + dx, self.y2 + dy)
    }

    pub fn to_array(self) -> [f32; 4] {
        [self.x1, self.y1, self.x2, self.y2]
    }
}

/// The four corners of a plate: top-left, top-right, bottom-right, bottom-left as the text reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quad(pub [[f32; 2]; 4]);

impl Quad {
    pub fn from_rect(r: &Rect) -> Self {
        Self([[r.x1, r.y1], [r.x2, r.y1], [r.x2, r.y2], [r.x1, r.y2]])
    }

    pub fn bounds(&self) -> Rect {
        let mut r = Rect::new(f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY);
        for [x, y] in self.0 {
            r.x1 = r.x1.min(x);
            r.y1 = r.y1.min(y);
            r.x2 = r.x2.max(x);
            r.y2 = r.y2.max(y);
        }
        r
    }

    pub fn center(&self) -> [f32; 2] {
        let sum = self.0.iter().fold([0.0, 0.0], |s, p| [s[0] + p[0], s[1] + p[1]]);
        [sum[0] / 4.0, sum[1] / 4.0]
    }

    /// Mean length of the upper and lower edge.
    pub fn width(&self) -> f32 {
        f32::midpoint(distance(self.0[0], self.0[1]), distance(self.0[3], self.0[2]))
    }

    /// Mean length of the left and right edge.
    pub fn height(&self) -> f32 {
        f32::midpoint(distance(self.0[0], self.0[3]), distance(self.0[1], self.0[2]))
    }

    pub fn map(&self, f: impl Fn([f32; 2]) -> [f32; 2]) -> Self {
        Self(self.0.map(f))
    }

    pub fn translate(&self, dx: f32, dy: f32) -> Self {
        self.map(|[x, y]| [x + dx, y + dy])
    }

    /// Finite, wound like a plate seen from the front, convex and not degenerate. A network may emit anything.
    pub fn is_plausible(&self) -> bool {
        if !self.0.iter().flatten().all(|v| v.is_finite() && v.abs() < 1e6) {
            return false;
        }
        (0..4).all(|i| {
            let (a, b, c) = (self.0[i], self.0[(i + 1) % 4], self.0[(i + 2) % 4]);
            (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) > 0.5
        })
    }
}

pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// A projective map of the plane, row-major 3x3.
#[derive(Clone, Copy, Debug)]
pub struct Homography([f32; 9]);

impl Homography {
    /// Maps the unit square onto `quad`, (0,0) to its top-left corner (Heckbert 1989, "Fundamentals of Texture
    /// Mapping and Image Warping", section 2.2.3). A degenerate quad gives its bounding rectangle instead.
    pub fn unit_square_to(quad: &Quad) -> Self {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = quad.0;
        let (dx1, dx2, sx) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, sy) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let det = dx1 * dy2 - dx2 * dy1;
        if det.abs() < 1e-6 {
            let r = quad.bounds();
            return Self([r.width(), 0.0, r.x1, 0.0, r.height(), r.y1, 0.0, 0.0, 1.0]);
        }
        let g = (sx * dy2 - dx2 * sy) / det;
        let h = (dx1 * sy - sx * dy1) / det;
        Self([x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1.0])
    }

    pub fn apply(&self, u: f32, v: f32) -> [f32; 2] {
        let m = &self.0;
        let w = m[6] * u + m[7] * v + m[8];
        [(m[0] * u + m[1] * v + m[2]) / w, (m[3] * u + m[4] * v + m[5]) / w]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_half_overlap_is_a_third() {
        let a = Rect::new(0.0, 0.0, 10.0, 10.0);
        let b = Rect::new(5.0, 0.0, 15.0, 10.0);
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert!(a.iou(&Rect::default()).abs() < f32::EPSILON);
    }

    #[test]
    fn homography_hits_the_corners_of_any_convex_quad() {
        for quad in [
            Quad([[10.0, 20.0], [110.0, 30.0], [105.0, 70.0], [12.0, 55.0]]),
            Quad::from_rect(&Rect::new(3.0, 4.0, 40.0, 16.0)),
        ] {
            let h = Homography::unit_square_to(&quad);
            for ((u, v), want) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].into_iter().zip(quad.0) {
                assert!(distance(h.apply(u, v), want) < 1e-3, "{u} {v} of {quad:?}");
            }
        }
    }

    #[test]
    fn implausible_quads_are_told_apart() {
        let good = Quad::from_rect(&Rect::new(0.0, 0.0, 50.0, 20.0));
        assert!(good.is_plausible());
        assert!(!Quad([good.0[1], good.0[0], good.0[2], good.0[3]]).is_plausible(), "crossed");
        assert!(!good.map(|[x, _]| [x, 0.0]).is_plausible(), "flat");
        assert!(!good.map(|[x, _]| [x, f32::NAN]).is_plausible(), "not a number");
    }
}
