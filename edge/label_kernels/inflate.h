// Decompression of a zlib stream into a buffer of known size.
//
// Label maps are long runs of one value, so what takes time is copying, not decoding: copies go eight bytes at a time,
// and a run is a fill. Every code is looked up in one table, whose 2^15 entries at most are cheap to fill for the few
// blocks of such a stream.
//
// Source: RFC 1950 (zlib), RFC 1951 (DEFLATE).

#pragma once

#include <cstdint>
#include <cstring>

namespace segedge {

constexpr int kMostBits = 15;       // longest code
constexpr int kSymbols = 288;       // literals, end of block, lengths
constexpr int kDistances = 32;

// Bits of a stream, the lowest of a byte first. Behind the end come zeros, which `overrun` tells apart.
class BitReader {
  public:
    BitReader(const std::uint8_t* data, std::int64_t size) : next_(data), end_(data + size) {}

    void refill() {
        if (end_ - next_ >= 8) {
            std::uint64_t word;
            std::memcpy(&word, next_, 8);  // little endian, as the processors of this project are
            bits_ |= word << count_;
            next_ += (63 - count_) >> 3;
            count_ |= 56;
            return;
        }
        while (count_ <= 56) {
            if (next_ < end_) bits_ |= std::uint64_t(*next_++) << count_;
            else ++missing_;
            count_ += 8;
        }
    }

    std::uint32_t peek(int count) const { return std::uint32_t(bits_ & ((std::uint64_t(1) << count) - 1)); }
    void skip(int count) {
        bits_ >>= count;
        count_ -= count;
    }
    std::uint32_t take(int count) {
        const std::uint32_t value = peek(count);
        skip(count);
        return value;
    }

    // Whether bits were used that the stream does not have.
    bool overrun() const { return missing_ * 8 > count_; }

    // Goes to the next whole byte, and returns what is left from there.
    const std::uint8_t* align(std::int64_t& left) {
        skip(count_ & 7);
        const std::uint8_t* place = next_ - (count_ / 8 - missing_);
        left = end_ - place;
        bits_ = 0;
        count_ = 0;
        missing_ = 0;
        return place;
    }
    void go_to(const std::uint8_t* place) { next_ = place; }

  private:
    const std::uint8_t *next_, *end_;
    std::uint64_t bits_ = 0;
    int count_ = 0;
    int missing_ = 0;
};

// A table of codes: the next `bits` bits of a stream give symbol * 16 + length of the code, 0 where there is none.
class CodeTable {
  public:
    // Returns whether the lengths are those of a code; one of a single symbol may be incomplete.
    bool build(const std::uint8_t* lengths, int count) {
        int of_length[kMostBits + 1] = {};
        for (int i = 0; i < count; ++i) ++of_length[lengths[i]];
        of_length[0] = 0;
        bits_ = 0;
        int used = 0, left = 1;
        std::uint32_t next[kMostBits + 2] = {};
        for (int length = 1; length <= kMostBits; ++length) {
            left = (left << 1) - of_length[length];
            if (left < 0) return false;
            next[length + 1] = (next[length] + of_length[length]) << 1;
            if (of_length[length]) bits_ = length;
            used += of_length[length];
        }
        if (left > 0 && used > 1) return false;
        if (bits_ == 0) bits_ = 1;
        std::memset(entries_, 0, sizeof(entries_[0]) << bits_);
        for (int symbol = 0; symbol < count; ++symbol) {
            const int length = lengths[symbol];
            if (!length) continue;
            std::uint32_t code = next[length]++, reversed = 0;
            for (int i = 0; i < length; ++i) reversed |= (code >> i & 1) << (length - 1 - i);
            for (std::uint32_t at = reversed; at < (1u << bits_); at += 1u << length)
                entries_[at] = std::uint16_t(symbol << 4 | length);
        }
        return true;
    }

    // Returns the next symbol, or -1 where the bits are no code.
    int next(BitReader& bits) const {
        const std::uint16_t entry = entries_[bits.peek(bits_)];
        if (!entry) return -1;
        bits.skip(entry & 15);
        return entry >> 4;
    }

  private:
    std::uint16_t entries_[1 << kMostBits];
    int bits_ = 1;
};

struct Codes {
    CodeTable symbols, distances;
};

inline bool read_codes(BitReader& bits, bool fixed, Codes& codes) {
    std::uint8_t lengths[kSymbols + kDistances] = {};
    if (fixed) {
        for (int i = 0; i < kSymbols; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        for (int i = 0; i < kDistances; ++i) lengths[kSymbols + i] = 5;
        return codes.symbols.build(lengths, kSymbols) && codes.distances.build(lengths + kSymbols, kDistances);
    }
    static const std::uint8_t kOrder[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    bits.refill();
    const int symbol_count = int(bits.take(5)) + 257, distance_count = int(bits.take(5)) + 1;
    const int order_count = int(bits.take(4)) + 4;
    if (symbol_count > 286 || distance_count > 30) return false;
    std::uint8_t order_lengths[19] = {};
    for (int i = 0; i < order_count; ++i) {
        bits.refill();
        order_lengths[kOrder[i]] = std::uint8_t(bits.take(3));
    }
    if (!codes.symbols.build(order_lengths, 19)) return false;
    const int count = symbol_count + distance_count;
    for (int i = 0; i < count;) {
        bits.refill();
        const int symbol = codes.symbols.next(bits);
        if (symbol < 0 || bits.overrun()) return false;
        if (symbol < 16) {
            lengths[i++] = std::uint8_t(symbol);
            continue;
        }
        if (symbol == 16 && i == 0) return false;
        const std::uint8_t value = symbol == 16 ? lengths[i - 1] : 0;
        int times = symbol == 16 ? 3 + int(bits.take(2)) : symbol == 17 ? 3 + int(bits.take(3)) : 11 + int(bits.take(7));
        if (i + times > count) return false;
        while (times--) lengths[i++] = value;
    }
    if (!lengths[256]) return false;
    return codes.symbols.build(lengths, symbol_count) && codes.distances.build(lengths + symbol_count, distance_count);
}

// Copies `length` bytes from `distance` before `to`; what is copied may be what was just written.
inline void copy_back(std::uint8_t* to, std::int64_t distance, int length) {
    const std::uint8_t* from = to - distance;
    if (distance == 1) {
        std::memset(to, *from, std::size_t(length));
    } else if (distance >= 8) {
        int done = 0;
        for (; done + 8 <= length; done += 8) std::memcpy(to + done, from + done, 8);
        for (; done < length; ++done) to[done] = from[done];
    } else {
        for (int done = 0; done < length; ++done) to[done] = from[done];
    }
}

// Adler-32 of a buffer (RFC 1950, section 8).
inline std::uint32_t adler32(const std::uint8_t* data, std::int64_t size) {
    constexpr std::int64_t kBlock = 2048;  // the weighted sum of a block fits 32 bits
    std::uint64_t low = 1, high = 0;
    while (size > 0) {
        const std::int64_t count = size < kBlock ? size : kBlock;
        std::uint32_t sum = 0, weighted = 0;
        for (std::int64_t i = 0; i < count; ++i) {
            sum += data[i];
            weighted += std::uint32_t(count - i) * data[i];
        }
        high = (high + low * std::uint64_t(count) + weighted) % 65521;
        low = (low + sum) % 65521;
        data += count;
        size -= count;
    }
    return std::uint32_t(high << 16 | low);
}

// Decompresses a zlib stream; returns whether it is sound and has exactly `out_size` bytes.
inline bool inflate_zlib(const std::uint8_t* data, std::int64_t size, std::uint8_t* out, std::int64_t out_size) {
    static const std::uint16_t kLengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                  31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const std::uint8_t kLengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const std::uint16_t kDistanceBase[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                                    33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                                    1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    static const std::uint8_t kDistanceBits[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                                   6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
    if (size < 6 || (data[0] & 15) != 8 || (data[0] << 8 | data[1]) % 31 || (data[1] & 32)) return false;
    BitReader bits(data + 2, size - 2);
    Codes codes;
    std::int64_t done = 0;
    bool is_last = false;
    while (!is_last) {
        bits.refill();
        is_last = bits.take(1) != 0;
        const std::uint32_t kind = bits.take(2);
        if (bits.overrun() || kind == 3) return false;
        if (kind == 0) {
            std::int64_t left;
            const std::uint8_t* place = bits.align(left);
            if (left < 4) return false;
            const std::int64_t count = place[0] | place[1] << 8;
            if ((count ^ (place[2] | place[3] << 8)) != 0xFFFF || count > left - 4 || count > out_size - done) return false;
            std::memcpy(out + done, place + 4, std::size_t(count));
            done += count;
            bits.go_to(place + 4 + count);
            continue;
        }
        if (!read_codes(bits, kind == 1, codes)) return false;
        for (;;) {
            bits.refill();  // at least 56 bits: 15 + 5 of a length and 15 + 13 of a distance
            const int symbol = codes.symbols.next(bits);
            if (symbol < 0 || bits.overrun()) return false;
            if (symbol < 256) {
                if (done == out_size) return false;
                out[done++] = std::uint8_t(symbol);
                continue;
            }
            if (symbol == 256) break;
            if (symbol > 285) return false;
            const int length = kLengthBase[symbol - 257] + int(bits.take(kLengthBits[symbol - 257]));
            const int code = codes.distances.next(bits);
            if (code < 0 || code > 29) return false;
            const std::int64_t distance = kDistanceBase[code] + std::int64_t(bits.take(kDistanceBits[code]));
            if (bits.overrun() || distance > done || length > out_size - done) return false;
            copy_back(out + done, distance, length);
            done += length;
        }
    }
    std::int64_t left;
    const std::uint8_t* end = bits.align(left);
    if (done != out_size || left < 4) return false;
    const std::uint32_t wanted = std::uint32_t(end[0]) << 24 | end[1] << 16 | end[2] << 8 | end[3];
    return adler32(out, out_size) == wanted;
}

}  // namespace segedge
