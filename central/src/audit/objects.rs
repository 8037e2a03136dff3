//! The audit of a box's objects: is each in S3 as PostgreSQL says?

use super::hours::{Found, Hour};
use super::{Fault, Finding, Report, Scope};
use crate::db::Database;
use crate::db::objects::{Checked, StoredObject};
use crate::objects::Objects;
use crate::objects::check::{Depth, ObjectFault};
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

const OBJECTS_PER_PAGE: i64 = 500;
const CHECKS_AT_A_TIME: usize = 16;
/// After so many objects in a row about which S3 says nothing it is asked about no more of them.
const UNANSWERED_MAX: u32 = 64;

pub struct ObjectAudit<'a> {
    objects: &'a Objects,
    depth: Depth,
    retention_days: u32,
    /// Objects in a row about which S3 said nothing.
    unanswered: AtomicU32,
}

impl<'a> ObjectAudit<'a> {
    pub fn new(objects: &'a Objects, scope: &Scope) -> Self {
        let depth = if scope.content { Depth::Content { bytes_max: u64::MAX } } else { Depth::Size };
        Self { objects, depth, retention_days: scope.retention_days, unanswered: AtomicU32::new(0) }
    }

    /// Looks at all objects of a box. One that S3 gives no answer about is counted as such: the others are audited all
    /// the same.
    pub async fn audit(
        &self,
        db: &Database,
        box_id: Uuid,
        report: &mut Report,
        found: &mut Found,
    ) -> anyhow::Result<()> {
        let mut after = (String::new(), String::new());
        let mut faults: Vec<(String, Fault, String)> = Vec::new();
        let (mut came, mut unchecked): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        loop {
            let page = db.objects_page(box_id, (&after.0, &after.1), OBJECTS_PER_PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = (last.bucket.clone(), last.key.clone());
            report.objects += page.len() as u64;
            let checks: Vec<_> =
                page.into_iter().map(|(object, age_days)| self.look(object, age_days).boxed()).collect();
            let mut results = stream::iter(checks).buffered(CHECKS_AT_A_TIME);
            while let Some((object, age_days, result)) = results.next().await {
                let lost = object.checked == Checked::Lost;
                let Err(fault) = result else {
                    if lost {
                        // An upload that was on its way when the box gave it up.
                        report.objects_found += 1;
                        came.push(object.key);
                    }
                    continue;
                };
                match fault {
                    ObjectFault::Down { .. } => {
                        report.objects_unchecked += 1;
                        report.unchecked_because.get_or_insert_with(|| fault.to_string());
                        if !lost {
                            unchecked.push(object.key);
                        }
                    }
                    ObjectFault::Missing { .. } | ObjectFault::Mismatch { .. } if lost => report.objects_lost += 1,
                    ObjectFault::Missing { .. } if self.expired(age_days) => report.objects_expired += 1,
                    ObjectFault::Missing { bucket, key } => {
                        let detail = format!("{bucket}/{key} is gone");
                        faults.push((key, Fault::ObjectMissing, detail));
                    }
                    ObjectFault::Mismatch { bucket, key, problem } => {
                        let detail = format!("{bucket}/{key} {problem}");
                        faults.push((key, Fault::ObjectAltered, detail));
                    }
                }
            }
        }
        let keys: Vec<String> = faults.iter().map(|(key, ..)| key).chain(&came).chain(&unchecked).cloned().collect();
        let made = if keys.is_empty() { BTreeMap::new() } else { db.made_of_objects(box_id, &keys).await? };
        let hour_of = |key: &String| made.get(key).map(|us| Hour::of(*us));
        let count = |hours: &mut BTreeMap<Hour, u64>, hour: Hour| *hours.entry(hour).or_default() += 1;
        came.iter().filter_map(hour_of).for_each(|hour| count(&mut found.found_objects, hour));
        unchecked.iter().filter_map(hour_of).for_each(|hour| count(&mut found.unchecked_objects, hour));
        for (key, fault, detail) in faults {
            let hour = hour_of(&key);
            let missing = fault == Fault::ObjectMissing;
            let counts = if missing { &mut found.missing_objects } else { &mut found.altered_objects };
            if let Some(hour) = hour {
                count(counts, hour);
            }
            report.findings.push(Finding { box_id, epoch: None, seq: None, hour, fault, detail });
        }
        Ok(())
    }

    async fn look(&self, object: StoredObject, age_days: f64) -> (StoredObject, f64, Result<Checked, ObjectFault>) {
        let StoredObject { bucket, key, sha256, bytes, .. } = &object;
        if self.unanswered.load(Ordering::Relaxed) >= UNANSWERED_MAX {
            let problem = format!("S3 did not answer about {UNANSWERED_MAX} objects in a row");
            let fault = ObjectFault::Down { bucket: bucket.clone(), key: key.clone(), problem, silent: false };
            return (object, age_days, Err(fault));
        }
        let result = self.objects.check(bucket, key, sha256, *bytes, self.depth).await;
        match &result {
            Err(ObjectFault::Down { .. }) => self.unanswered.fetch_add(1, Ordering::Relaxed),
            _ => self.unanswered.swap(0, Ordering::Relaxed),
        };
        (object, age_days, result)
    }

    fn expired(&self, age_days: f64) -> bool {
        self.retention_days > 0 && age_days >= f64::from(self.retention_days)
    }
}
