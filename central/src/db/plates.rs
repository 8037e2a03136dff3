//! The dictionary of plates that trigram searches go through. It is written before the batch that names a plate: a plate
//! too many is harmless, one too few could not be found.

use super::detections::Passage;
use super::{Database, DbError};
use chrono::{Datelike, NaiveDate};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use uuid::Uuid;

/// Plates remembered as written; about 5 MB.
const REMEMBERED_MAX: usize = 200_000;

/// Plates of which this service knows that they are written, with the last day, so that a plate costs one write a day.
#[derive(Default)]
pub struct Noted {
    hasher: RandomState,
    days: Mutex<HashMap<u64, i32>>,
}

impl Noted {
    fn key(&self, tenant: Uuid, plate: &str) -> u64 {
        self.hasher.hash_one((tenant, plate))
    }

    fn is_new(&self, tenant: Uuid, plate: &str, day: NaiveDate) -> bool {
        let days = self.days.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        days.get(&self.key(tenant, plate)).is_none_or(|known| *known < day.num_days_from_ce())
    }

    fn note(&self, tenant: Uuid, plates: &BTreeMap<&str, NaiveDate>) {
        let mut days = self.days.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if days.len() + plates.len() > REMEMBERED_MAX {
            days.clear();
        }
        days.extend(plates.iter().map(|(plate, day)| (self.key(tenant, plate), day.num_days_from_ce())));
    }
}

impl Database {
    pub async fn note_plates(&self, tenant: Uuid, passages: &[Passage<'_>]) -> Result<(), DbError> {
        // In one order for all services: they wait for each other's new plates, but never in a circle.
        let mut new: BTreeMap<&str, NaiveDate> = BTreeMap::new();
        for passage in passages.iter().filter(|p| self.plates.is_new(tenant, p.plate, p.day)) {
            let day = new.entry(passage.plate).or_insert(passage.day);
            *day = passage.day.max(*day);
        }
        if new.is_empty() {
            return Ok(());
        }
        let (plates, days): (Vec<&str>, Vec<NaiveDate>) = new.iter().map(|(plate, day)| (*plate, *day)).unzip();
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "INSERT INTO ai.plates (prefeitura_id, plate, last_day)
                 SELECT $1::uuid, plate, day FROM unnest($2::text[], $3::date[]) AS noted (plate, day)
                 ON CONFLICT (prefeitura_id, plate) DO UPDATE SET last_day = excluded.last_day
                    WHERE plates.last_day < excluded.last_day",
            )
            .await?;
        client.execute(&statement, &[&tenant, &plates, &days]).await?;
        self.plates.note(tenant, &new);
        Ok(())
    }
}
