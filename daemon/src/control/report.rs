//! Tells the centre how the box and its cameras are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gtv_protocol::body::BoxStatus;
use gtv_protocol::status::{CameraStreams, StreamMeasures, short};
use metrics_exporter_prometheus::PrometheusHandle;

use super::vitals::{Reading, Vitals};
use crate::base::metrics;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::camera::{CameraState, CameraStatus, StreamInfo};
use crate::config::{CameraConfig, RecordStreams};
use crate::record::RecorderState;
use crate::sync::Teller;

/// A stream that begins or ends is dated to this.
const LOOK: Duration = Duration::from_secs(1);
const REASON_BYTES_MAX: usize = 120;
const PROBLEM_BYTES_MAX: usize = 400;

/// Looks at the box until the tasks are cancelled; does nothing where no centre is configured.
pub fn start_report(vitals: Vitals, prometheus: PrometheusHandle, tasks: &Tasks) {
    if !vitals.sync.status().borrow().enabled {
        return;
    }
    // Until something is told, no stream of this run was.
    let new_run = Arc::new(AtomicBool::new(true));
    tasks.spawn("report", OnExit::Restart, move |stop| {
        let (vitals, prometheus, new_run) = (vitals.clone(), prometheus.clone(), new_run.clone());
        async move {
            // Before the configuration is in force every camera would look as if it had been removed.
            vitals.supervisor.ping().await;
            let mut teller = Teller::new(vitals.sync.told_streaming().await?, new_run.load(Ordering::Relaxed));
            loop {
                let reading = vitals.read();
                let told = teller.look(Instant::now(), UtcMicros::now().0, status(&reading), reading.sync.connected);
                if let Some((mut status, streaming)) = told {
                    status.temperature_c = vitals.temperature_c();
                    status.drops = metrics::drops(&prometheus.render());
                    vitals.sync.tell_status(status, &streaming).await?;
                    new_run.store(false, Ordering::Relaxed);
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    });
}

fn status(reading: &Reading) -> BoxStatus {
    let cameras = &reading.config.cameras;
    let streaming = reading.cameras.values().filter(|camera| camera.state == CameraState::Streaming);
    let spool = &reading.sync.spool;
    BoxStatus {
        software: concat!("gtv-edge ", env!("CARGO_PKG_VERSION")).to_owned(),
        uptime_s: reading.uptime_s,
        cameras: cameras.len() as u32,
        cameras_streaming: streaming.count() as u32,
        recorded_bytes: reading.storage.recorded_bytes,
        disk_free_bytes: reading.storage.disks.iter().map(|disk| disk.free_bytes).sum(),
        disk_total_bytes: Some(reading.storage.disks.iter().map(|disk| disk.total_bytes).sum()),
        pending_records: reading.sync.pending(),
        recorder: Some(reading.recorder.state.as_str().to_owned()),
        problem: reading.problem.as_deref().and_then(|problem| short(problem, PROBLEM_BYTES_MAX)),
        spool_bytes: Some(spool.bytes),
        spool_max_bytes: Some(spool.bytes_max).filter(|max| (1..i64::MAX as u64).contains(max)),
        clock_synchronized: reading.clock_synchronized,
        streams: Some(
            cameras
                .iter()
                .filter_map(|camera| Some(streams(camera, reading.cameras.get(&camera.id)?, reading.recorder.state)))
                .collect(),
        ),
        ..BoxStatus::default()
    }
}

fn streams(config: &CameraConfig, status: &CameraStatus, recorder: RecorderState) -> CameraStreams {
    let recorded = match config.record {
        RecordStreams::Main => status.main.is_some(),
        RecordStreams::Sub => status.sub.is_some(),
        RecordStreams::Both => status.main.is_some() || status.sub.is_some(),
        RecordStreams::Off => false,
    };
    CameraStreams {
        camera: config.id.to_string(),
        state: status.state.as_str().to_owned(),
        since_us: status.since.0,
        recording: recorded && matches!(recorder, RecorderState::Recording | RecorderState::Slow),
        reason: short(&status.reason, REASON_BYTES_MAX),
        code: short(&status.code, REASON_BYTES_MAX),
        main: status.main.as_ref().map(measures),
        sub: status.sub.as_ref().map(measures),
    }
}

fn measures(info: &StreamInfo) -> StreamMeasures {
    StreamMeasures {
        codec: info.codec.as_str().to_owned(),
        width: info.width,
        height: info.height,
        fps: if info.fps.is_finite() { info.fps.clamp(0.0, 1e6) } else { 0.0 },
        bitrate_bps: info.bitrate_bps,
    }
}
