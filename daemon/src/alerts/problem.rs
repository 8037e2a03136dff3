//! Pure. What is wrong with a file that is imported: a code for the page, which says it in its own language, and a
//! sentence for everybody else.

use crate::base::plate::Plate;
use crate::store::REASON_MAX;

/// The shortest text that is taken for a plate.
pub const PLATE_MIN: usize = 2;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    #[error("a plate has {PLATE_MIN} to {} letters and digits", Plate::MAX_LEN)]
    Plate,
    #[error("a reason has at most {REASON_MAX} characters, on one line")]
    Reason,
    #[error("{0} is not a time such as 2026-12-31, 31/12/2026 18:00 or 2026-12-31T18:00:00Z")]
    Time(&'static str),
    #[error("valid_until is not after valid_from")]
    Order,
    #[error("a quote is not closed: this line and those after it were read as one")]
    OpenQuote,
}

impl LineProblem {
    pub fn code(self) -> &'static str {
        match self {
            Self::Plate => "plate",
            Self::Reason => "reason",
            Self::Time(_) => "time",
            Self::Order => "order",
            Self::OpenQuote => "open_quote",
        }
    }

    /// The column that is wrong, where there is one.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Plate => Some("plate"),
            Self::Reason => Some("reason"),
            Self::Time(column) => Some(column),
            Self::Order => Some("valid_until"),
            Self::OpenQuote => None,
        }
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum HeaderProblem {
    #[error("it is empty; its first line must name the columns: plate, reason, valid_from, valid_until")]
    Empty,
    #[error(
        "its first line must name the columns, separated by `,` or `;`: plate, reason, valid_from, valid_until \
         (placa, motivo, valido_de, valido_ate)"
    )]
    Columns,
    #[error("{0}")]
    Unreadable(String),
}

impl HeaderProblem {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "import_empty",
            Self::Columns => "import_columns",
            Self::Unreadable(_) => "import_unreadable",
        }
    }
}
