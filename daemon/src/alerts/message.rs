//! Pure. What a receiver outside is told of an alert, by webhook and MQTT alike.

use serde::Serialize;

use crate::base::ids::BoxId;
use crate::store::AlertRow;

/// The box, as its messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub box_id: BoxId,
    pub name: String,
    pub prefeitura: String,
}

#[derive(Serialize)]
struct Message<'a> {
    version: u32,
    r#box: BoxId,
    box_name: &'a str,
    prefeitura: &'a str,
    alert: &'a AlertRow,
}

impl Sender {
    /// One JSON object; the same alert gives the same bytes.
    pub fn message(&self, alert: &AlertRow) -> String {
        let message =
            Message { version: 1, r#box: self.box_id, box_name: &self.name, prefeitura: &self.prefeitura, alert };
        serde_json::to_string(&message).expect("texts, numbers and JSON values can be written as JSON")
    }
}
