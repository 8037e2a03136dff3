//! The sound of one viewer's session: packets of the camera as they are, or of the stream's Opus transcoder.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::time::UtcMicros;
use crate::live::hub::Sounds;
use crate::live::voice::Listener;
use crate::media::SoundConfig;

/// 60 ms of G.711: browsers take no longer packets for granted.
const LAW_BYTES: usize = 480;

/// What goes into one RTP packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    pub data: Bytes,
    /// RTP time, in the codec's own unit.
    pub pts: i64,
    pub time: UtcMicros,
}

/// See the module.
pub enum Source {
    AsItIs(Sounds, Arc<SoundConfig>),
    Opus(Listener),
}

impl Source {
    /// What comes next; `None`: the sound has ended or is another one now.
    pub async fn next(&mut self) -> Option<VecDeque<Packet>> {
        match self {
            Self::AsItIs(sounds, config) => {
                let sound = sounds.next().await.filter(|sound| sound.config == *config)?;
                Some(pieces(&sound.data, sound.pts, sound.time))
            }
            Self::Opus(listener) => {
                let packet = listener.next().await?;
                Some(VecDeque::from([Packet { data: packet.data, pts: packet.pts, time: packet.time }]))
            }
        }
    }
}

/// Pure. One byte of G.711 is one sample of 1/8000 s.
fn pieces(data: &Bytes, pts: i64, time: UtcMicros) -> VecDeque<Packet> {
    let starts = (0..data.len()).step_by(LAW_BYTES);
    let piece = |at: usize| Packet {
        data: data.slice(at..(at + LAW_BYTES).min(data.len())),
        pts: pts + at as i64,
        time: time.add_micros(at as i64 * 125),
    };
    starts.map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_packets_of_a_camera_are_cut() {
        let cut = pieces(&Bytes::from(vec![0xd5; 1000]), 7, UtcMicros(0));
        let told: Vec<_> = cut.iter().map(|packet| (packet.data.len(), packet.pts, packet.time.0)).collect();
        assert_eq!(told, [(480, 7, 0), (480, 487, 60_000), (40, 967, 120_000)]);
        assert!(pieces(&Bytes::new(), 0, UtcMicros(0)).is_empty());
    }
}
