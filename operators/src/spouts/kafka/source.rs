//! The 64-bit hash of cluster, topic and topic id that is part of every document's id.
//!
//! It outlives every process: a change would make each record a second document.

/// Hashes where records come from: FNV-1a over the three texts, each followed by a zero byte, and
/// then the finaliser of MurmurHash3, so that every bit depends on every byte. A cluster that gives
/// its topics no ids has empty ones.
pub(crate) fn source(cluster_id: &str, topic: &str, topic_id: &str) -> u64 {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for text in [cluster_id, topic, topic_id] {
        for byte in text.bytes().chain(std::iter::once(0)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        let golden = [
            (
                ("5L6g3nShT-eMCtK--X86sw", "access", "MkU3OEVBNTcwNTJENDM2Qg"),
                0x5BFD_5FF5_3889_A754,
            ),
            (
                ("5L6g3nShT-eMCtK--X86sw", "access", ""),
                0x40D0_AA8C_C62F_D0A3,
            ),
            (("", "", ""), 0x6BC5_37B4_6C7F_7BAF),
        ];
        for ((cluster, topic, id), hash) in golden {
            assert_eq!(source(cluster, topic, id), hash, "{cluster} {topic} {id}");
        }
    }

    #[test]
    fn borders_between_the_texts_matter() {
        assert_ne!(source("a", "bc", ""), source("ab", "c", ""));
        assert_ne!(source("a", "b", ""), source("a", "", "b"));
    }
}
