//! Feeds the audit from PostgreSQL and S3, page by page.

use super::chain::ChainWalk;
use super::hours::{self, Found, Hour};
use super::objects::ObjectAudit;
use super::{Fault, Finding, Key, Report};
use crate::db::Database;
use crate::db::audit::{Retold, StoredChain};
use crate::db::keys::BoxKeys;
use crate::db::proofs::{Verdict, judge};
use crate::db::rows::{ROW_TABLES, RowFault};
use crate::objects::Objects;
use gtv_protocol::auth;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const RECORDS_PER_PAGE: i64 = 2000;

pub struct Scope {
    /// All boxes if `None`.
    pub box_id: Option<Uuid>,
    /// Hours to tell of, microseconds since 1970: from the first to before the second. Chains are walked whole, for
    /// one link proves the next.
    pub from_us: i64,
    pub to_us: i64,
    /// Read objects back and hash them, instead of looking for them and their sizes.
    pub content: bool,
    pub retention_days: u32,
}

pub async fn audit(db: &Database, objects: &Objects, scope: &Scope) -> anyhow::Result<Report> {
    let known = db.box_ids().await?;
    let boxes = match scope.box_id {
        Some(id) if known.contains(&id) => vec![id],
        Some(id) => anyhow::bail!("there is no box {id} in this database"),
        None => known,
    };
    let mut report = Report::default();
    let looked = ObjectAudit::new(objects, scope);
    for box_id in boxes {
        report.boxes += 1;
        let before = report.findings.len();
        let mut found = Found::default();
        let keys = db.box_keys(box_id).await?;
        let rooted = audit_roots(db, box_id, &keys, &mut report).await?;
        for epoch in db.epochs(box_id).await? {
            let rooted = rooted.get(&epoch).copied().unwrap_or(0);
            audit_chain(db, box_id, epoch, &keys, rooted, &mut report, &mut found).await?;
        }
        report.keys.extend(keys.all().map(|(key, replaced_at)| Key { box_id, public_key: *key, replaced_at }));
        audit_rows(db, box_id, &mut report).await?;
        looked.audit(db, box_id, &mut report, &mut found).await?;
        // One record may have several faults.
        let altered: BTreeSet<_> = report.findings[before..]
            .iter()
            .filter(|finding| finding.fault == Fault::Altered)
            .filter_map(|finding| Some((finding.hour?, finding.epoch, finding.seq)))
            .collect();
        for (hour, ..) in altered {
            *found.altered_records.entry(hour).or_default() += 1;
        }
        let rows = db.hours(box_id, scope.from_us, scope.to_us).await?;
        report.hours.extend(hours::lines(box_id, &rows, &found));
        report.incidents.extend(db.incidents(box_id).await?);
    }
    let asked = |hour: Hour| hour.0 >= scope.from_us && hour.0 < scope.to_us;
    report.findings.retain(|finding| finding.hour.is_none_or(asked));
    Ok(report)
}

/// Verifies every signed root again. Returns the last record under one, by epoch.
async fn audit_roots(
    db: &Database,
    box_id: Uuid,
    keys: &BoxKeys,
    report: &mut Report,
) -> anyhow::Result<BTreeMap<i64, u64>> {
    let mut rooted: BTreeMap<i64, u64> = BTreeMap::new();
    let mut after = (0, 0);
    while let Some(root) = db.next_root(box_id, after).await? {
        after = (root.epoch, root.seq);
        let mut find = |fault, detail| {
            let (epoch, seq) = (Some(root.epoch), Some(root.seq));
            report.findings.push(Finding { box_id, epoch, seq, hour: None, fault, detail });
        };
        let Some(proof) = &root.proof else { continue };
        if !keys.at(root.received_at).any(|key| auth::verify_proof(key, box_id, proof)) {
            find(Fault::BadSignature, "the root is not signed by the box's key".to_owned());
            continue;
        }
        if root.expired {
            report.roots_expired += 1;
            continue;
        }
        report.roots += 1;
        match judge(root.seq, root.epoch, proof, &root.hashes) {
            Verdict::Differs { detail, .. } => find(Fault::RootDiffers, detail),
            Verdict::Verified { .. } => {
                let last = rooted.entry(proof.epoch).or_default();
                *last = proof.last_seq.max(*last);
            }
            Verdict::Unknown { .. } => {}
        }
    }
    Ok(rooted)
}

async fn audit_chain(
    db: &Database,
    box_id: Uuid,
    epoch: i64,
    keys: &BoxKeys,
    rooted: u64,
    report: &mut Report,
    box_found: &mut Found,
) -> anyhow::Result<()> {
    let (mut walk, records, chain) = walk_chain(db, box_id, epoch, keys, rooted).await?;
    report.chains += 1;
    report.records += records;
    report.records_expired += chain.expired.seq;
    report.unsigned.extend(walk.finish(chain.committed, chain.last_signed, chain.newest));
    let mut found = BTreeMap::new();
    for (seq, prev_hash) in &walk.strays {
        if let Some(before) = db.seq_of_hash(box_id, epoch, prev_hash).await? {
            found.insert(*seq, before);
        }
    }
    walk.explain_strays(&found);
    report.signatures += walk.signatures;
    box_found.gaps.append(&mut walk.gaps);
    report.findings.append(&mut walk.findings);
    Ok(())
}

/// Reads a chain to its end, and what the service says of it. Boxes deliver and old records go meanwhile: the walk goes on
/// until it is where the chain is, and begins anew if its beginning went.
async fn walk_chain<'a>(
    db: &Database,
    box_id: Uuid,
    epoch: i64,
    keys: &'a BoxKeys,
    rooted: u64,
) -> anyhow::Result<(ChainWalk<'a>, u64, StoredChain)> {
    let mut chain = db.chain(box_id, epoch).await?;
    loop {
        let expired = chain.expired;
        let mut walk = ChainWalk::new(box_id, keys, expired, rooted);
        let (mut after, mut records) = (expired.seq, 0);
        loop {
            let page = db.records_page(box_id, epoch, after, RECORDS_PER_PAGE).await?;
            if let Some(last) = page.last() {
                let heads = db.heads(box_id, epoch, after, last.seq).await?;
                after = last.seq;
                records += page.len() as u64;
                for stored in &page {
                    walk.step(stored, &heads);
                }
                continue;
            }
            let committed = chain.committed.seq;
            chain = db.chain(box_id, epoch).await?;
            if chain.expired != expired {
                break;
            }
            // Nothing came since the last look, or what is said to be there is not.
            if after >= chain.committed.seq || chain.committed.seq == committed {
                return Ok((walk, records, chain));
            }
        }
    }
}

async fn audit_rows(db: &Database, box_id: Uuid, report: &mut Report) -> anyhow::Result<()> {
    let mut retold = 0;
    let mut findings = Vec::new();
    let mut find = |epoch, seq, fault, detail: String| {
        findings.push(Finding { box_id, epoch: Some(epoch), seq: Some(seq), hour: None, fault, detail });
    };
    for table in ROW_TABLES {
        for (epoch, seq, fault) in db.row_faults(box_id, table).await? {
            let name = table.name;
            let (fault, detail) = match fault {
                RowFault::Missing => (Fault::RowMissing, format!("{name} has no row for it")),
                RowFault::Altered => (Fault::RowAltered, format!("its row in {name} says something else")),
                RowFault::Invented => (Fault::RowInvented, format!("{name} has a row that no record tells of")),
                RowFault::Unreadable => (
                    Fault::RowUnreadable,
                    format!("PostgreSQL cannot read it, so its row in {name} cannot be compared"),
                ),
            };
            find(epoch, seq, fault, detail);
        }
    }
    for Retold { epoch, seq, kind, id, first, same, old } in db.retold(box_id).await? {
        match first {
            // What was told first is told no more.
            None if old => retold += 1,
            None => find(epoch, seq, Fault::RowMissing, format!("no other record tells of {kind} {id}")),
            // A new epoch may tell again, word for word, what the box did not know to be here.
            Some((first_epoch, _)) if first_epoch != epoch && same => retold += 1,
            Some((first_epoch, first_seq)) => {
                let detail = format!("{kind} {id} was already told by record {first_seq} of epoch {first_epoch}");
                find(epoch, seq, Fault::Duplicated, detail);
            }
        }
    }
    for (epoch, seq, key) in db.unlisted_objects(box_id).await? {
        find(epoch, seq, Fault::ObjectMissing, format!("sync.objects does not list {key}"));
    }
    report.records_retold += retold;
    report.findings.append(&mut findings);
    Ok(())
}
