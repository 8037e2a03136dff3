//! `gtv-edge discover`: ONVIF cameras on the network; `--add` asks the one that answers for its streams and adds it to
//! the configuration of a box that is not running.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::base::secret::{Secret, SecretBox};
use crate::config::{CameraConfig, Config, Loaded, LprStream, Overrides, Problem, validate};
use crate::onvif::{Credentials, DeviceReport, FoundDevice, LockoutGuard, discover, probe_device};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of the interface to ask on instead of the configured one.
    #[arg(long)]
    interface: Option<Ipv4Addr>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Adds every camera that answers and takes the credentials; the daemon must not be running.
    #[arg(long)]
    add: bool,
    #[arg(long, default_value = "")]
    username: String,
    /// Password of the cameras; better given in the environment, where others cannot read it.
    #[arg(long, env = "GTV_CAMERA_PASSWORD", hide_env_values = true, default_value = "")]
    password: String,
}

pub fn main(args: &Args, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    let interface = args.interface.or(config.discovery.interface);
    let runtime = super::runtime()?;
    let found = runtime.block_on(discover(interface, *config.discovery.timeout))?;
    for device in &found {
        if args.json {
            println!("{}", serde_json::to_string(device)?);
        } else {
            let name = device.name.as_deref().unwrap_or("(no name)");
            println!("{}  {}  {}", device.onvif_url, name, device.hardware.as_deref().unwrap_or(""));
        }
    }
    if !args.add {
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        bail!("no camera answers; check that it is powered, in this network, and that ONVIF is switched on in it");
    }
    let credentials = Credentials { username: args.username.clone(), password: Secret::new(args.password.clone()) };
    let mut wanted = config.clone();
    let guard = LockoutGuard::default();
    for device in &found {
        let report = runtime.block_on(probe_device(&device.onvif_url, &credentials, &guard))?;
        let camera = camera_of(device, &report, &credentials, &wanted)?;
        wanted.cameras.retain(|known| known.id != camera.id);
        eprintln!("added {} ({} {}): {}", camera.id, report.manufacturer, report.model, camera.main_url);
        wanted.cameras.push(camera);
    }
    keep(config, &loaded.overrides, wanted)
}

/// Writes the overrides that turn the file into `wanted`.
fn keep(config: &Config, overrides: &Overrides, mut wanted: Config) -> anyhow::Result<ExitCode> {
    let secrets = SecretBox::open_or_create(&config.data_dir)?;
    for camera in &mut wanted.cameras {
        camera.password = secrets.seal(&camera.password);
    }
    let problems = validate(&wanted);
    if !problems.is_empty() {
        bail!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "));
    }
    let kept = Overrides { cameras: Some(wanted.cameras), ..overrides.clone() };
    kept.write(&config.data_dir).with_context(|| format!("writing to {}", config.data_dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A camera with the device's largest stream as main and its smallest other one as sub.
fn camera_of(
    device: &FoundDevice,
    report: &DeviceReport,
    credentials: &Credentials,
    config: &Config,
) -> anyhow::Result<CameraConfig> {
    let main = report.profiles.first().with_context(|| format!("{} has no stream", device.onvif_url))?;
    let sub = report.profiles.iter().skip(1).next_back().map(|profile| profile.rtsp_url.clone());
    let known = config.cameras.iter().find(|camera| camera.onvif_url.as_deref() == Some(device.onvif_url.as_str()));
    let id = match known {
        Some(camera) => camera.id.clone(),
        None => free_id(config)?,
    };
    Ok(CameraConfig {
        id,
        name: device.name.clone().unwrap_or_else(|| format!("{} {}", report.manufacturer, report.model)),
        onvif_url: Some(device.onvif_url.clone()),
        main_url: main.rtsp_url.clone(),
        sub_url: sub,
        username: credentials.username.clone(),
        password: credentials.password.clone(),
        lpr: LprStream::Main,
        ..CameraConfig::default()
    })
}

fn free_id(config: &Config) -> anyhow::Result<crate::base::ids::CameraId> {
    for number in 1.. {
        let id = format!("camera-{number}").parse()?;
        if config.camera(&id).is_none() {
            return Ok(id);
        }
    }
    bail!("no free camera id")
}
