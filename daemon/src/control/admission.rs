//! Pure. Whether one camera more fits on this box (C3): refused with a reason instead of degrading all.

/// What was measured over the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Cameras that stream now.
    pub cameras: usize,
    /// Processor time of this process, in cores.
    pub cpu_cores: f64,
    /// Cores of the box.
    pub cores: f64,
    /// Resident memory of this process and total memory of the box, bytes.
    pub memory_bytes: u64,
    pub memory_total_bytes: u64,
}

/// Share of the cores that cameras may use; the rest is for bursts, the page and the system.
const MAX_CPU_SHARE: f64 = 0.85;
const MAX_MEMORY_SHARE: f64 = 0.75;

/// `Err` says why another camera does not fit.
pub fn admit(load: &Load) -> Result<(), String> {
    if load.cameras == 0 || load.cores <= 0.0 {
        return Ok(());
    }
    let per_camera = load.cpu_cores / load.cameras as f64;
    let limit = load.cores * MAX_CPU_SHARE;
    if load.cpu_cores + per_camera > limit {
        return Err(format!(
            "the box is full: {} cameras use {:.2} of {:.0} cores and one more would pass {limit:.2}; \
             lower lpr.max_fps, switch plate reading off on a camera, or use a larger box",
            load.cameras, load.cpu_cores, load.cores
        ));
    }
    let memory_limit = load.memory_total_bytes as f64 * MAX_MEMORY_SHARE;
    let with_one_more = load.memory_bytes as f64 * (1.0 + 1.0 / load.cameras as f64);
    if load.memory_total_bytes > 0 && with_one_more > memory_limit {
        return Err(format!(
            "the box is full: {} cameras use {} MiB of memory and one more would pass {:.0} MiB; use a larger box",
            load.cameras,
            load.memory_bytes >> 20,
            memory_limit / 1_048_576.0
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Load =
        Load { cameras: 8, cpu_cores: 0.8, cores: 2.0, memory_bytes: 200 << 20, memory_total_bytes: 4 << 30 };

    #[test]
    fn refuses_the_camera_that_does_not_fit() {
        assert!(admit(&BOX).is_ok());
        assert!(admit(&Load { cpu_cores: 1.6, ..BOX }).unwrap_err().contains("8 cameras"));
        assert!(admit(&Load { memory_bytes: 3 << 30, ..BOX }).unwrap_err().contains("memory"));
    }

    #[test]
    fn the_first_camera_is_always_tried() {
        assert!(admit(&Load { cameras: 0, cpu_cores: 1.9, ..BOX }).is_ok());
        assert!(admit(&Load::default()).is_ok());
    }
}
