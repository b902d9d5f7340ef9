// Decodes the pixels of a PNG of one channel: inflate, then the filters of its rows.
//
// A label map is runs of equal values. A decoder for pictures of all kinds copies them byte by byte; here a match is
// copied in words, and a word of differences that are all zero repeats the value before it. Nothing is written outside
// the two buffers whatever the file holds; what is not as it should be ends with an error code.
//
// Sources: RFC 1950 (zlib), RFC 1951 (deflate), PNG Specification, Third Edition (W3C), section 9 (filtering).

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kMaxCodeBits = 15;
constexpr int kTableSize = 1 << kMaxCodeBits;
constexpr int kWord = 16;  // bytes of a copy; so many bytes behind the inflated rows may be overwritten

constexpr uint16_t kLengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr uint8_t kLengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr uint16_t kDistanceBase[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr uint8_t kDistanceBits[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                       6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
constexpr uint8_t kOrderOfLengths[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

// Bits of the stream, the lowest of a byte first; behind its end they are zero, and `is_overdrawn` says so.
struct Bits {
    const uint8_t* next;
    const uint8_t* end;
    uint64_t held = 0;
    int count = 0;
    int64_t made_up = 0;  // bytes of zero that stand for those behind the end

    // At least 56 bits are held afterwards.
    void fill() {
        if (end - next >= 8) {
            uint64_t word;
            std::memcpy(&word, next, 8);
            held |= word << count;
            next += (63 - count) >> 3;
            count |= 56;
            return;
        }
        while (count <= 56) {
            if (next < end) {
                held |= uint64_t(*next++) << count;
            } else {
                ++made_up;
            }
            count += 8;
        }
    }
    uint32_t take(int bits) {
        uint32_t value = uint32_t(held & ((uint64_t(1) << bits) - 1));
        held >>= bits;
        count -= bits;
        return value;
    }
    bool is_overdrawn() const { return made_up * 8 > count; }
};

// Every number of so many bits as the longest code has -> symbol * 16 + length of its code; 0 where there is no code.
struct Codes {
    uint16_t entry[kTableSize];
    int bits;

    // A single code of one bit is allowed, as for the only distance of a block; any other gap is an error when it is met.
    bool build(const uint8_t* lengths, int symbols) {
        int counts[kMaxCodeBits + 1] = {};
        for (int symbol = 0; symbol < symbols; ++symbol) ++counts[lengths[symbol]];
        counts[0] = 0;
        bits = kMaxCodeBits;
        while (bits > 1 && counts[bits] == 0) --bits;
        uint32_t code = 0, first[kMaxCodeBits + 2] = {};
        for (int length = 1; length <= kMaxCodeBits; ++length) {
            code = (code + uint32_t(counts[length - 1])) << 1;
            first[length] = code;
            if (code + uint32_t(counts[length]) > (uint32_t(1) << length)) return false;  // more codes than numbers
        }
        std::memset(entry, 0, sizeof(uint16_t) << bits);
        for (int symbol = 0; symbol < symbols; ++symbol) {
            const int length = lengths[symbol];
            if (length == 0) continue;
            uint32_t forward = first[length]++, reversed = 0;
            for (int bit = 0; bit < length; ++bit) reversed |= (forward >> bit & 1) << (length - 1 - bit);
            for (uint32_t place = reversed; place < (uint32_t(1) << bits); place += uint32_t(1) << length) {
                entry[place] = uint16_t(symbol << 4 | length);
            }
        }
        return true;
    }
    // Returns the next symbol, or -1. The bits have to be filled.
    int next(Bits& source) const {
        const uint16_t found = entry[source.held & ((uint32_t(1) << bits) - 1)];
        if (found == 0) return -1;
        source.held >>= found & 15;
        source.count -= found & 15;
        return found >> 4;
    }
};

struct BlockCodes {
    Codes literals, distances;
};

bool read_fixed_codes(BlockCodes& codes) {
    uint8_t lengths[288];
    for (int symbol = 0; symbol < 288; ++symbol) {
        lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    }
    uint8_t distances[30];
    std::memset(distances, 5, sizeof distances);
    return codes.literals.build(lengths, 288) && codes.distances.build(distances, 30);
}

bool read_codes(Bits& source, BlockCodes& codes) {
    source.fill();
    const int literals = int(source.take(5)) + 257, distances = int(source.take(5)) + 1, given = int(source.take(4)) + 4;
    if (literals > 286 || distances > 30) return false;
    uint8_t lengths[320] = {};
    for (int place = 0; place < given; ++place) {
        source.fill();
        lengths[kOrderOfLengths[place]] = uint8_t(source.take(3));
    }
    if (!codes.literals.build(lengths, 19)) return false;
    uint8_t read[320];
    for (int place = 0; place < literals + distances;) {
        source.fill();
        const int symbol = codes.literals.next(source);
        if (symbol < 0) return false;
        if (symbol < 16) {
            read[place++] = uint8_t(symbol);
            continue;
        }
        if (symbol == 16 && place == 0) return false;
        const uint8_t value = symbol == 16 ? read[place - 1] : 0;
        int times = symbol == 16 ? 3 + int(source.take(2)) : symbol == 17 ? 3 + int(source.take(3)) : 11 + int(source.take(7));
        if (place + times > literals + distances) return false;
        while (times-- > 0) read[place++] = value;
    }
    return codes.literals.build(read, literals) && codes.distances.build(read + literals, distances);
}

// Copies `length` bytes from `distance` before `to`, where both may overlap; up to kWord bytes more are written.
inline void repeat(uint8_t* to, int64_t distance, int length) {
    if (distance == 1) {
        std::memset(to, to[-1], size_t(length));
        return;
    }
    int done = 0;
    if (distance < kWord) {
        for (; done < length && done < kWord; ++done) to[done] = to[done - distance];
        distance *= (kWord - 1) / distance + 1;  // the same bytes, a word or more before
    }
    for (; done < length; done += kWord) std::memcpy(to + done, to + done - distance, kWord);
}

bool inflate_block(Bits& source, const BlockCodes& codes, uint8_t* begin, uint8_t*& to, const uint8_t* end) {
    for (;;) {
        source.fill();
        int symbol = codes.literals.next(source);
        if (symbol < 0 || source.is_overdrawn()) return false;
        if (symbol < 256) {
            if (to == end) return false;
            *to++ = uint8_t(symbol);
            continue;
        }
        if (symbol == 256) return true;
        symbol -= 257;
        if (symbol > 28) return false;
        const int length = kLengthBase[symbol] + int(source.take(kLengthBits[symbol]));
        source.fill();
        const int far = codes.distances.next(source);
        if (far < 0 || far > 29) return false;
        const int64_t distance = kDistanceBase[far] + int64_t(source.take(kDistanceBits[far]));
        if (distance > to - begin || length > end - to) return false;
        repeat(to, distance, length);
        to += length;
    }
}

// Inflates a zlib stream into exactly `size` bytes.
bool inflate(const uint8_t* data, int64_t data_size, uint8_t* out, int64_t size, BlockCodes& codes) {
    if (data_size < 2 || (data[0] & 15) != 8 || (data[0] * 256 + data[1]) % 31 != 0 || (data[1] & 32) != 0) return false;
    Bits source{data + 2, data + data_size};
    uint8_t* to = out;
    for (bool is_last = false; !is_last;) {
        source.fill();
        is_last = source.take(1) != 0;
        const uint32_t kind = source.take(2);
        if (kind == 0) {
            source.take(source.count % 8);
            source.fill();
            const uint32_t length = source.take(16), inverse = source.take(16);
            if ((length ^ inverse) != 0xffff || int64_t(length) > (out + size) - to) return false;
            for (uint32_t byte = 0; byte < length; ++byte) {
                source.fill();
                *to++ = uint8_t(source.take(8));
            }
            if (source.is_overdrawn()) return false;
            continue;
        }
        if (kind == 3 || !(kind == 1 ? read_fixed_codes(codes) : read_codes(source, codes))) return false;
        if (!inflate_block(source, codes, out, to, out + size)) return false;
    }
    return to == out + size;
}

inline uint8_t paeth(int left, int above, int corner) {
    const int to_left = std::abs(above - corner), to_above = std::abs(left - corner);
    const int to_corner = std::abs(left + above - 2 * corner);
    return uint8_t(to_left <= to_above && to_left <= to_corner ? left : to_above <= to_corner ? above : corner);
}

// Sums of differences to the pixel before, of kBytes a pixel.
template <int kBytes>
void unfilter_sub(const uint8_t* from, uint8_t* to, int64_t bytes) {
    uint8_t last[kBytes] = {}, repeated[8] = {};
    int64_t place = 0;
    for (; place + 8 <= bytes; place += 8) {
        uint64_t word;
        std::memcpy(&word, from + place, 8);
        if (word == 0) {
            std::memcpy(to + place, &repeated, 8);
            continue;
        }
        for (int byte = 0; byte < 8; ++byte) {
            to[place + byte] = last[byte % kBytes] = uint8_t(last[byte % kBytes] + from[place + byte]);
        }
        for (int byte = 0; byte < 8; ++byte) repeated[byte] = last[byte % kBytes];
    }
    for (; place < bytes; ++place) {
        to[place] = last[place % kBytes] = uint8_t(last[place % kBytes] + from[place]);
    }
}

template <int kBytes>
bool unfilter(const uint8_t* rows, uint8_t* out, int64_t height, int64_t bytes, const uint8_t* zeros) {
    for (int64_t row = 0; row < height; ++row) {
        const uint8_t* from = rows + row * (bytes + 1) + 1;
        uint8_t* to = out + row * bytes;
        const uint8_t* above = row > 0 ? to - bytes : zeros;
        switch (from[-1]) {
            case 0:
                std::memcpy(to, from, size_t(bytes));
                break;
            case 1:
                unfilter_sub<kBytes>(from, to, bytes);
                break;
            case 2:
                for (int64_t place = 0; place < bytes; ++place) to[place] = uint8_t(from[place] + above[place]);
                break;
            case 3:
                for (int64_t place = 0; place < bytes; ++place) {
                    const int left = place >= kBytes ? to[place - kBytes] : 0;
                    to[place] = uint8_t(from[place] + (left + above[place]) / 2);
                }
                break;
            case 4:
                for (int64_t place = 0; place < bytes; ++place) {
                    const int left = place >= kBytes ? to[place - kBytes] : 0;
                    const int corner = place >= kBytes ? above[place - kBytes] : 0;
                    to[place] = uint8_t(from[place] + paeth(left, above[place], corner));
                }
                break;
            default:
                return false;
        }
    }
    return true;
}

// Memory for the inflated rows, which a thread keeps for its next file: fresh pages cost more than the decoding.
struct Scratch {
    uint8_t* memory = nullptr;
    size_t size = 0;

    uint8_t* at_least(size_t wanted) {
        if (wanted > size) {
            std::free(memory);
            memory = static_cast<uint8_t*>(std::malloc(wanted));
            size = memory != nullptr ? wanted : 0;
        }
        return memory;
    }
    ~Scratch() { std::free(memory); }
};

thread_local Scratch scratch;

}  // namespace

// Decodes the joined data of the IDAT chunks into (height, width) values of one or two bytes, in the machine's order of
// bytes (little endian). Returns 0, 1 where the data are not as they should be, or 2 without memory.
extern "C" int64_t segedge_decode_label_png(const uint8_t* data, int64_t data_size, int64_t height, int64_t width,
                                            int64_t value_bytes, uint8_t* out) {
    const int64_t row_bytes = width * value_bytes, inflated = height * (row_bytes + 1);
    uint8_t* rows = scratch.at_least(size_t(inflated + kWord));
    auto* zeros = static_cast<uint8_t*>(std::calloc(size_t(row_bytes), 1));
    auto* codes = static_cast<BlockCodes*>(std::malloc(sizeof(BlockCodes)));
    int64_t status = 2;
    if (rows != nullptr && zeros != nullptr && codes != nullptr) {
        const bool is_whole = inflate(data, data_size, rows, inflated, *codes) &&
                              (value_bytes == 1 ? unfilter<1>(rows, out, height, row_bytes, zeros)
                                                : unfilter<2>(rows, out, height, row_bytes, zeros));
        status = is_whole ? 0 : 1;
        if (is_whole && value_bytes == 2) {
            auto* values = reinterpret_cast<uint16_t*>(out);
            for (int64_t place = 0; place < height * width; ++place) {
                values[place] = uint16_t(values[place] << 8 | values[place] >> 8);
            }
        }
    }
    std::free(codes);
    std::free(zeros);
    return status;
}
