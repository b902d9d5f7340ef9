// Counts of values, of pairs of values, and of the values that objects have. Where the next words repeat the pixel before
// them, as most of a label map does, they are counted at once.

#include <cstdint>
#include <cstring>

namespace {

constexpr int kWord = 8;

inline uint64_t word_at(const uint8_t* place) {
    uint64_t word;
    std::memcpy(&word, place, kWord);
    return word;
}

// Whether the `kWord` bytes at a place repeat the `distance` bytes before them.
inline bool repeats(const uint8_t* place, int distance) { return word_at(place) == word_at(place - distance); }

}  // namespace

// Adds the number of pixels of each value to `counts`, (256,).
extern "C" int64_t segedge_count_values(const uint8_t* values, int64_t size, int64_t* counts) {
    for (int64_t place = 0; place < size;) {
        const int64_t first = place++;
        while (place + kWord <= size && repeats(values + place, 1)) place += kWord;
        while (place < size && values[place] == values[first]) ++place;
        counts[values[first]] += place - first;
    }
    return 0;
}

// Adds the number of pixels of each pair of values to `counts`, (256, 256), whose rows are values of the first map.
extern "C" int64_t segedge_count_pairs(const uint8_t* first, const uint8_t* second, int64_t size, int64_t* counts) {
    for (int64_t place = 0; place < size;) {
        const int64_t start = place++;
        while (place + kWord <= size && repeats(first + place, 1) && repeats(second + place, 1)) place += kWord;
        while (place < size && first[place] == first[start] && second[place] == second[start]) ++place;
        counts[int64_t(first[start]) * 256 + second[start]] += place - start;
    }
    return 0;
}

// Adds the pixels of each value that each object has to `counts`, (most, 256). An object is an id above `floor`; it gets
// the next free row, which `row_of_id`, (65536,) and -1 at first, then says. Returns the number of rows, or -1 where
// there are more objects than `most`.
extern "C" int64_t segedge_count_objects(const uint16_t* ids, const uint8_t* values, int64_t size, int64_t floor,
                                         int32_t* row_of_id, int64_t* counts, int64_t most) {
    int64_t rows = 0;
    const auto* bytes = reinterpret_cast<const uint8_t*>(ids);
    for (int64_t place = 0; place < size;) {
        const int64_t start = place++;
        const uint16_t id = ids[start];
        if (id <= floor) {
            while (place + 4 <= size && repeats(bytes + 2 * place, 2)) place += 4;
            while (place < size && ids[place] == id) ++place;
            continue;
        }
        while (place + kWord <= size && repeats(bytes + 2 * place, 2) && repeats(bytes + 2 * place + kWord, 2) &&
               repeats(values + place, 1)) {
            place += kWord;
        }
        while (place < size && ids[place] == id && values[place] == values[start]) ++place;
        if (row_of_id[id] < 0) {
            if (rows == most) return -1;
            row_of_id[id] = int32_t(rows++);
        }
        counts[int64_t(row_of_id[id]) * 256 + values[start]] += place - start;
    }
    return rows;
}
