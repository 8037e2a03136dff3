//! The only user of ONNX Runtime: finds its shared library, picks the execution provider and runs models.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorElementType, TensorRef, ValueType};
use serde::Serialize;

use super::engine_cache;
use super::error::LprError;
use crate::config::Provider as Wanted;

/// An execution provider that a model can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Tensorrt,
    Cuda,
    Cpu,
}

impl Provider {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensorrt => "tensorrt",
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }

    fn of(wanted: Wanted) -> &'static [Self] {
        match wanted {
            Wanted::Auto => &[Self::Tensorrt, Self::Cuda, Self::Cpu],
            Wanted::Tensorrt => &[Self::Tensorrt],
            Wanted::Cuda => &[Self::Cuda],
            Wanted::Cpu => &[Self::Cpu],
        }
    }

    /// Pictures or plates in one run. A run of several on one core of a CPU takes as long as each alone, or longer;
    /// a graphics processor is idle for most of a run of one.
    pub fn batch(self) -> usize {
        match self {
            Self::Tensorrt | Self::Cuda => 8,
            Self::Cpu => 1,
        }
    }

    /// What to register for the model with these bytes, or why that is pointless.
    fn dispatch(self, model: &[u8]) -> Result<Vec<ExecutionProviderDispatch>, String> {
        let built_in = |available: ort::Result<bool>| match available {
            Ok(true) => Ok(()),
            Ok(false) => Err("this ONNX Runtime library was built without it".to_owned()),
            Err(e) => Err(e.to_string()),
        };
        // Inputs come in a few sizes: the exhaustive search for the fastest convolution would begin anew for each.
        let cuda = || {
            let search = ep::cuda::ConvAlgorithmSearch::Heuristic;
            ep::CUDA::default().with_conv_algorithm_search(search).with_tf32(true).build().error_on_failure()
        };
        match self {
            Self::Tensorrt => {
                built_in(<ep::TensorRT as ep::ExecutionProvider>::is_available())?;
                let cache = cache_folder();
                let cache = engine_cache::folder(&cache, model, ort::info())
                    .map_err(|e| format!("the engine cache in {}: {e}", cache.display()))?;
                let tensorrt = ep::TensorRT::default()
                    .with_fp16(true)
                    .with_engine_cache(true)
                    .with_engine_cache_path(cache.display())
                    .with_timing_cache(true)
                    .with_timing_cache_path(cache.display());
                Ok(vec![tensorrt.build().error_on_failure(), cuda()])
            }
            Self::Cuda => {
                built_in(<ep::CUDA as ep::ExecutionProvider>::is_available())?;
                Ok(vec![cuda()])
            }
            Self::Cpu => Ok(Vec::new()),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A provider that was tried before the one in use, and why it was not used.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    pub provider: Provider,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// `lpr.ort_dylib`.
    pub library: Option<PathBuf>,
    pub provider: Wanted,
    /// Threads inside one run of a model. Readers run side by side, so one is right on a CPU.
    pub threads: usize,
}

struct Runtime {
    environment: ort::environment::Environment,
    library: PathBuf,
}

/// ONNX Runtime can be loaded once in a process; what is loaded first stays.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

fn runtime(library: Option<&Path>) -> Result<&'static Runtime, LprError> {
    let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut tried = Vec::new();
    for candidate in library_candidates(library) {
        match ort::init_from(&candidate)
            .map_err(|e| e.to_string())
            .and_then(|builder| builder.with_name("gtv-edge").with_telemetry(false).build().map_err(|e| e.to_string()))
        {
            Ok(environment) => {
                environment.set_log_level(ort::logging::LogLevel::Warning);
                return Ok(RUNTIME.get_or_init(|| Runtime { environment, library: candidate }));
            }
            Err(error) => tried.push(error),
        }
    }
    Err(LprError::Runtime { tried: tried.join("; ") })
}

/// The shared library in use, once a model was opened.
pub fn library_in_use() -> Option<&'static Path> {
    RUNTIME.get().map(|r| r.library.as_path())
}

/// Where to look: what the user named and nothing else, or the scripts' cache (newest first) and the system.
fn library_candidates(configured: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = configured {
        return vec![path.to_owned()];
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        return vec![path.into()];
    }
    let mut cached = Vec::new();
    for version in std::fs::read_dir(cache_folder().join("onnxruntime")).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(version.path()).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with("libonnxruntime.so") {
                cached.push((numbers(&version.file_name().to_string_lossy()), file.path()));
            }
        }
    }
    cached.sort();
    let cached = cached.into_iter().rev().map(|(_, path)| path);
    cached.chain(["libonnxruntime.so.1", "libonnxruntime.so"].map(PathBuf::from)).collect()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// systemd's `CacheDirectory=`, else the user's cache: `${XDG_CACHE_HOME:-~/.cache}/gtv`.
fn cache_folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("CACHE_DIRECTORY")
        .or_else(|| variable("XDG_CACHE_HOME").map(|p| p.join("gtv")))
        .or_else(|| variable("HOME").map(|p| p.join(".cache/gtv")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/gtv"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F32,
    U8,
    Other,
}

/// An input or output as the model declares it; a dimension of -1 is free.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub name: String,
    pub element: Element,
    pub shape: Vec<i64>,
    declared: String,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.declared)
    }
}

impl From<&ort::value::Outlet> for TensorInfo {
    fn from(outlet: &ort::value::Outlet) -> Self {
        let (element, shape, type_name) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let (element, name) = match ty {
                    TensorElementType::Float32 => (Element::F32, "float32".to_owned()),
                    TensorElementType::Uint8 => (Element::U8, "uint8".to_owned()),
                    other => (Element::Other, other.to_string()),
                };
                (element, shape.iter().copied().collect(), name)
            }
            other => (Element::Other, Vec::new(), format!("{other:?}")),
        };
        let declared = format!("{type_name}{}", show_shape(&shape));
        Self { name: outlet.name().to_owned(), element, shape, declared }
    }
}

pub fn show_shape(shape: &[i64]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| if *d < 0 { "?".to_owned() } else { d.to_string() }).collect();
    format!("[{}]", dims.join(","))
}

/// One output of one run.
#[derive(Clone, Debug, Default)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

pub enum Input<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
}

/// A loaded model. Running needs `&mut`: ONNX Runtime sessions are not run from two threads at once here.
pub struct Model {
    session: Session,
    file: PathBuf,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    provider: Provider,
    skipped: Vec<Skipped>,
}

impl Model {
    /// Loads `bytes`, read from `file`, on the first provider of `options` that takes it.
    pub fn open(file: &Path, manifest: &Path, bytes: &[u8], options: &Options) -> Result<Self, LprError> {
        let runtime = runtime(options.library.as_deref())?;
        let mut skipped = Vec::new();
        for provider in Provider::of(options.provider) {
            match build(runtime, *provider, bytes, options.threads) {
                Ok(session) => {
                    let inputs = session.inputs().iter().map(TensorInfo::from).collect();
                    let outputs = session.outputs().iter().map(TensorInfo::from).collect();
                    return Ok(Self { session, file: file.to_owned(), inputs, outputs, provider: *provider, skipped });
                }
                Err(reason) => skipped.push(Skipped { provider: *provider, reason }),
            }
        }
        let reason = skipped.pop().map_or_else(String::new, |s| s.reason);
        Err(match options.provider {
            Wanted::Auto | Wanted::Cpu => {
                LprError::Model { file: file.to_owned(), manifest: manifest.to_owned(), message: reason }
            }
            Wanted::Tensorrt => LprError::Provider { wanted: "tensorrt", file: file.to_owned(), reason },
            Wanted::Cuda => LprError::Provider { wanted: "cuda", file: file.to_owned(), reason },
        })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    pub fn provider(&self) -> Provider {
        self.provider
    }

    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Runs on the first input and fills `outputs` in the model's order; their memory is reused.
    pub fn run(&mut self, shape: &[usize], input: &Input<'_>, outputs: &mut Vec<Tensor>) -> Result<(), LprError> {
        let fail = |message: String| LprError::Inference { file: self.file.clone(), message };
        let values = match input {
            Input::F32(data) => {
                let tensor = TensorRef::from_array_view((shape, *data)).map_err(|e| fail(e.to_string()))?;
                self.session.run(ort::inputs![tensor])
            }
            Input::U8(data) => {
                let tensor = TensorRef::from_array_view((shape, *data)).map_err(|e| fail(e.to_string()))?;
                self.session.run(ort::inputs![tensor])
            }
        }
        .map_err(|e| LprError::Inference { file: self.file.clone(), message: e.to_string() })?;
        outputs.resize_with(values.len(), Tensor::default);
        for (value, output) in values.values().zip(outputs.iter_mut()) {
            let (shape, data) = value
                .try_extract_tensor::<f32>()
                .map_err(|e| LprError::Inference { file: self.file.clone(), message: e.to_string() })?;
            output.shape.clear();
            output.shape.extend(shape.iter().map(|d| (*d).max(0) as usize));
            output.data.clear();
            output.data.extend_from_slice(data);
        }
        Ok(())
    }
}

fn build(runtime: &Runtime, provider: Provider, bytes: &[u8], threads: usize) -> Result<Session, String> {
    let dispatch = provider.dispatch(bytes)?;
    let text = |e: &dyn fmt::Display| e.to_string();
    Session::builder(&runtime.environment)
        .map_err(|e| text(&e))?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|e| text(&e))?
        .with_intra_threads(threads.max(1))
        .map_err(|e| text(&e))?
        // Idle threads must sleep: the recorder shares these cores.
        .with_config_entry("session.intra_op.allow_spinning", "0")
        .map_err(|e| text(&e))?
        .with_execution_providers(dispatch)
        .map_err(|e| text(&e))?
        .commit_from_memory(bytes)
        .map_err(|e| text(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_the_user_named_is_the_only_candidate() {
        let named = Path::new("/nowhere/libonnxruntime.so");
        assert_eq!(library_candidates(Some(named)), [named]);
        assert!(!library_candidates(None).is_empty());
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.32.0") > numbers("1.9.1"));
    }

    #[test]
    fn garbage_is_no_model_and_the_error_names_the_file() {
        let options = Options { library: None, provider: Wanted::Auto, threads: 1 };
        let file = Path::new("weights/garbage.onnx");
        let error = Model::open(file, Path::new("manifest.toml"), b"not a model", &options).err().unwrap();
        let message = error.to_string();
        assert!(message.contains("garbage.onnx") && message.contains("manifest.toml"), "{message}");
    }
}
