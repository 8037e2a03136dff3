//! First boot: a one-time code on the console proves that whoever opens the page stands at the box (T1).
use super::error::ApiResult;
use super::tokens::token_hash;
use crate::store::Store;

/// The name under which wrong codes are counted; not a possible user name.
pub const LOCK_NAME: &str = "(setup)";

/// Letters and digits that cannot be taken for one another when read off a console.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
const GROUPS: usize = 3;
const GROUP: usize = 4;

/// A fresh code while the box has no user; only its hash is stored. The code of an earlier start is void.
pub async fn prepare(store: &Store) -> ApiResult<Option<String>> {
    if !store.users().await?.is_empty() {
        return Ok(None);
    }
    let random: [u8; GROUPS * GROUP] = rand::random();
    let letters: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    let groups: Vec<&str> = (0..GROUPS).filter_map(|n| letters.get(n * GROUP..(n + 1) * GROUP)).collect();
    let code = groups.join("-");
    store.set_setup_code_hash(Some(code_hash(&code))).await?;
    Ok(Some(code))
}

/// The hash of a code as somebody typed it: case, spaces and dashes do not matter.
pub fn code_hash(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    token_hash(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        assert_eq!(code_hash("ABCD-2345-WXYZ"), code_hash(" abcd2345 wxyz "));
        assert_ne!(code_hash("ABCD-2345-WXYZ"), code_hash("ABCD-2345-WXYY"));
    }
}
