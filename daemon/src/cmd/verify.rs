//! `gtv-edge verify`: is this exported file what the box recorded and signed?

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::evidence::{self, Manifest, Signed};

#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// The exported file; its manifest is expected beside it.
    pub file: PathBuf,
    /// Public key of the box (64 hexadecimal digits), as the centre has it. Without it the key in the manifest is
    /// taken, which proves that nothing was altered but not which box signed.
    #[arg(long)]
    pub key: Option<String>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub manifest: Manifest,
    pub public_key: String,
    /// The key was given and fits, so the box is who it says it is.
    pub key_is_trusted: bool,
}

impl Verified {
    /// In words, for a person.
    pub fn summary(&self) -> String {
        let manifest = &self.manifest;
        let trust = if self.key_is_trusted {
            "signed by the given key".to_owned()
        } else {
            format!("signed by key {}: compare it with the key of this box at the centre", self.public_key)
        };
        format!(
            "intact: {} bytes of camera {} ({}) on box {}, {} fragments, {} gaps, {} plates; {trust}",
            manifest.bytes,
            manifest.camera,
            manifest.stream,
            manifest.box_id,
            manifest.fragments.len(),
            manifest.gaps.len(),
            manifest.detections.len()
        )
    }
}

pub fn run(args: &VerifyArgs) -> anyhow::Result<Verified> {
    let beside = evidence::manifest_path(&args.file);
    let text = std::fs::read_to_string(&beside)
        .with_context(|| format!("read {}: it must lie beside the file", beside.display()))?;
    let signed: Signed =
        serde_json::from_str(&text).with_context(|| format!("{}: is no manifest", beside.display()))?;
    let manifest = signed.open().with_context(|| beside.display().to_string())?;
    if let Some(key) = &args.key
        && !key.trim().eq_ignore_ascii_case(&signed.public_key)
    {
        bail!("{}: signed by key {}, not by the given one", beside.display(), signed.public_key);
    }
    let (bytes, sha256) = evidence::digest(&args.file)?;
    if bytes != manifest.bytes || sha256 != manifest.sha256 {
        bail!(
            "{}: altered: {bytes} bytes with SHA-256 {sha256}, the box signed {} bytes with {}",
            args.file.display(),
            manifest.bytes,
            manifest.sha256
        );
    }
    Ok(Verified { manifest, public_key: signed.public_key, key_is_trusted: args.key.is_some() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::export::{self, ExportArgs};
    use super::*;
    use crate::base::identity::Identity;
    use crate::base::time::UtcMicros;
    use crate::config::Config;
    use crate::store::{InitRow, NewFragment, NewSegment, Store, Stream};

    /// Two segments whose camera changed its settings between them.
    async fn record(dir: &Path) {
        let store = Store::open(dir).unwrap();
        Identity::open_or_create(dir).unwrap();
        std::fs::create_dir_all(dir.join("recordings")).unwrap();
        for (index, init) in ["one", "two"].into_iter().enumerate() {
            let row = InitRow {
                id: init.to_owned(),
                data: init.as_bytes().to_vec(),
                mime: "video/mp4".to_owned(),
                codec: "h264".to_owned(),
                width: 64,
                height: 48,
            };
            store.put_init(&row).await.unwrap();
            let path = format!("recordings/{init}.mp4");
            std::fs::write(dir.join(&path), format!("{init}AAAABBBB")).unwrap();
            let start = UtcMicros(index as i64 * 2_000_000);
            let new = NewSegment {
                camera: "gate".parse().unwrap(),
                stream: Stream::Main,
                path,
                init_id: init.to_owned(),
                start,
                head_bytes: 3,
            };
            let segment_id = store.open_segment(new).await.unwrap();
            let piece = |n: i64| NewFragment {
                segment_id,
                offset: 3 + 4 * n as u64,
                bytes: 4,
                start: start.add_micros(n * 1_000_000),
                duration_us: 1_000_000,
                frames: 25,
                key: true,
            };
            store.commit_fragments(vec![piece(0), piece(1)]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_export_verifies_and_an_altered_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path()).await;
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let args = ExportArgs {
            camera: "gate".parse().unwrap(),
            from: UtcMicros(1_000_000),
            to: UtcMicros(9_000_000),
            stream: Stream::Main,
            out: folder.path().join("out.mp4"),
        };
        let files = export::run(&config, &args).await.unwrap();
        assert_eq!(files, [folder.path().join("out-1.mp4"), folder.path().join("out-2.mp4")]);
        assert_eq!(std::fs::read(&files[0]).unwrap(), b"oneBBBB");
        let verify = |key: Option<String>| run(&VerifyArgs { file: files[1].clone(), key });
        let verified = verify(None).unwrap();
        assert_eq!((verified.manifest.start_us, verified.manifest.end_us), (2_000_000, 4_000_000));
        assert!(verify(Some(verified.public_key.clone())).unwrap().key_is_trusted);
        assert!(verify(Some("00".repeat(32))).unwrap_err().to_string().contains("not by the given one"));

        std::fs::write(&files[1], b"twoAAAABBBC").unwrap();
        assert!(verify(None).unwrap_err().to_string().contains("altered"));
        let beside = evidence::manifest_path(&files[1]);
        let changed = std::fs::read_to_string(&beside).unwrap().replace("gate", "yard");
        std::fs::write(&beside, changed).unwrap();
        assert!(format!("{:#}", verify(None).unwrap_err()).contains("signature"));
        let again = export::run(&config, &args).await.unwrap_err();
        assert!(format!("{again:#}").contains("does not exist yet"));
    }
}
