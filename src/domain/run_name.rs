//! Names for runs that were given none: an adjective, a noun and a number, as MLflow's users know them.

const ADJECTIVES: [&str; 32] = [
    "amber", "brisk", "calm", "clever", "crisp", "deft", "eager", "even", "fair", "fleet", "frank", "gentle", "glad", "grand", "keen",
    "kind", "light", "lucid", "merry", "mild", "neat", "noble", "plain", "prime", "quick", "quiet", "rapid", "sharp", "sober", "sound",
    "steady", "swift",
];
const NOUNS: [&str; 32] = [
    "alder", "badger", "beech", "bison", "brook", "cedar", "crane", "delta", "dune", "eagle", "elm", "falcon", "fjord", "gull", "harbor",
    "heron", "ibis", "lark", "linden", "lynx", "maple", "marten", "otter", "pine", "plover", "raven", "reed", "salmon", "sparrow", "stoat",
    "willow", "wren",
];

/// The name of four random bytes, at most 18 characters.
pub fn from_random(random: [u8; 4]) -> String {
    let [adjective, noun, high, low] = random;
    let number = u16::from_be_bytes([high, low]) % 1_000;
    let adjective = ADJECTIVES[usize::from(adjective) % ADJECTIVES.len()];
    let noun = NOUNS[usize::from(noun) % NOUNS.len()];
    format!("{adjective}-{noun}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_give_a_short_name_of_three_parts() {
        for byte in 0..=u8::MAX {
            let name = from_random([byte, 255 - byte, byte, byte]);
            assert!(name.len() <= 18 && name.split('-').count() == 3, "{name}");
        }
        assert_eq!(from_random([0, 0, 0xff, 0xff]), "amber-alder-535");
    }
}
