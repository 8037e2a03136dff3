//! Pure. Which alerts the broker has not confirmed yet. The client numbers a message when it goes out, not when it is
//! handed over, and numbers follow the order of handing over: so every message is noted here, alerts with their delivery.

use std::collections::{HashMap, VecDeque};

#[derive(Debug, Default)]
pub struct InFlight {
    /// Handed over, not on the wire yet.
    queued: VecDeque<Option<i64>>,
    /// By packet id.
    unconfirmed: HashMap<u16, i64>,
}

impl InFlight {
    /// A message was handed to the client; an alert comes with its delivery.
    pub fn handed_over(&mut self, delivery: Option<i64>) {
        self.queued.push_back(delivery);
    }

    /// The oldest of them went out under this packet id.
    pub fn sent(&mut self, packet: u16) {
        if let Some(Some(delivery)) = self.queued.pop_front() {
            self.unconfirmed.insert(packet, delivery);
        }
    }

    /// The broker answered; the delivery, if the message was an alert.
    pub fn confirmed(&mut self, packet: u16) -> Option<i64> {
        self.unconfirmed.remove(&packet)
    }

    /// Whether any alert waits for the broker.
    pub fn has_alerts(&self) -> bool {
        !self.unconfirmed.is_empty() || self.queued.iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmations_find_their_alerts() {
        let mut flight = InFlight::default();
        for delivery in [None, Some(7), None, Some(8)] {
            flight.handed_over(delivery);
        }
        (1..=3).for_each(|packet| flight.sent(packet));
        assert_eq!((flight.confirmed(1), flight.confirmed(2), flight.confirmed(2)), (None, Some(7), None));
        assert!(flight.has_alerts(), "one is not on the wire yet");
        flight.sent(4);
        assert_eq!((flight.confirmed(4), flight.has_alerts()), (Some(8), false));
    }
}
