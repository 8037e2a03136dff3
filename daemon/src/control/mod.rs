//! Layer 4: owns what runs. Every change, from file, page or fleet, takes the same way through the supervisor (C1).

pub mod admission;
pub mod load;
pub mod plan;
