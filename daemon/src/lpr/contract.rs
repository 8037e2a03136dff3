//! Whether a detector's file is what its contract says: the declared input and outputs, and what one run gave.

use super::error::{ContractMismatch, LprError};
use super::manifest::{DetectorContract, Manifest};
use super::session::{Element, Model, Tensor, show_shape};

/// What is known from the file alone.
#[derive(Clone, Copy, Debug)]
pub struct DetectorInput {
    /// Width and height of a model that takes only one size.
    pub fixed: Option<(usize, usize)>,
    /// Several pictures fit in one run.
    pub batches: bool,
}

pub fn check_declared(
    model: &Model,
    contract: DetectorContract,
    manifest: &Manifest,
) -> Result<DetectorInput, LprError> {
    let expected = "float32[N,3,H,W]";
    let Some(input) = model.inputs().first() else {
        return Err(mismatch(model, manifest, "the input".to_owned(), expected, "absent".to_owned()));
    };
    let fixed = match (input.element, input.shape.as_slice()) {
        (Element::F32, [_, -1 | 3, h, w]) if *h > 0 && *w > 0 => Some((*w as usize, *h as usize)),
        (Element::F32, [_, -1 | 3, _, _]) => None,
        _ => {
            return Err(mismatch(model, manifest, format!("input `{}`", input.name), expected, input.to_string()));
        }
    };
    let Some(output) = model.outputs().first() else {
        return Err(mismatch(model, manifest, "the output".to_owned(), output_shape(contract), "absent".to_owned()));
    };
    if output.element != Element::F32 {
        let found = output.to_string();
        return Err(mismatch(model, manifest, format!("output `{}`", output.name), output_shape(contract), found));
    }
    Ok(DetectorInput { fixed, batches: input.shape[0] < 0 })
}

/// Free dimensions show their size only after a run.
pub fn check_output(
    model: &Model,
    contract: DetectorContract,
    manifest: &Manifest,
    outputs: &[Tensor],
) -> Result<(), LprError> {
    let Some(output) = outputs.first() else { return Ok(()) };
    let fits = match (contract, output.shape.as_slice()) {
        (DetectorContract::GtvQuad, [_, _, 10]) | (DetectorContract::YoloNms, [_, 7] | [_, _, 6]) => true,
        (DetectorContract::YoloRaw, [_, a, b]) => *a.min(b) >= 5,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let shape: Vec<i64> = output.shape.iter().map(|d| *d as i64).collect();
    let name = model.outputs().first().map_or("", |o| o.name.as_str());
    Err(mismatch(model, manifest, format!("output `{name}`"), output_shape(contract), show_shape(&shape)))
}

fn output_shape(contract: DetectorContract) -> &'static str {
    match contract {
        DetectorContract::GtvQuad => "float32[N,A,10]",
        DetectorContract::YoloNms => "float32[N,7] or float32[1,N,6]",
        DetectorContract::YoloRaw => "float32[1,4+C,A] or float32[1,A,5+C]",
    }
}

fn mismatch(model: &Model, manifest: &Manifest, tensor: String, expected: &str, found: String) -> LprError {
    LprError::Contract(Box::new(ContractMismatch {
        file: model.file().to_owned(),
        manifest: manifest.path.clone(),
        tensor,
        contract: manifest.detector.contract.name(),
        expected: expected.to_owned(),
        found,
    }))
}
