//! CRC-32 (IEEE 802.3, reflected 0xEDB88320), that of gzip and PNG.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut remainder = index as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ (0xEDB8_8320 * (remainder & 1));
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
    }
    table
};

pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        let index = crc.to_le_bytes()[0] ^ byte;
        (crc >> 8) ^ TABLE[usize::from(index)]
    })
}

#[cfg(test)]
mod tests {
    /// The check value that catalogues of checksums give for CRC-32.
    #[test]
    fn it_is_the_checksum_of_gzip() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
