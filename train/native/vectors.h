// Vectors of eight floats, with the functions of them that the kernels need.

#ifndef SEGEDGE_TRAIN_VECTORS_H
#define SEGEDGE_TRAIN_VECTORS_H

#include <cstdint>
#include <cstring>

namespace segedge {

// Vectors of the compiler (GCC and Clang): every processor has them, in registers of its own width.
constexpr int kLanes = 8;
typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

inline Floats load(const float* from) {
    Floats vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
}

inline void store(float* to, const Floats& vector) { std::memcpy(to, &vector, sizeof(vector)); }

inline Floats spread(float value) { return Floats{} + value; }

inline Ints bits_of(const Floats& values) {
    Ints bits;
    std::memcpy(&bits, &values, sizeof(bits));
    return bits;
}

inline Floats of_bits(const Ints& bits) {
    Floats values;
    std::memcpy(&values, &bits, sizeof(values));
    return values;
}

inline float sum(const Floats& values) {
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += values[lane];
    return total;
}

// exp of values up to 0, within two units in the last place; what lies below -80 counts as -80, which keeps
// products with it normal, and NaN stays NaN. The polynomial is that of Cephes' expf (Moshier).
inline Floats exponential(Floats value) {
    value = value < -80.0f ? spread(-80.0f) : value;
    const float shift = 12582912.0f;  // 1.5 x 2^23: adding and subtracting it rounds to a whole number
    const Floats power = (value * 1.44269504088896341f + shift) - shift;
    const Floats rest = value - power * 0.693359375f - power * -2.12194440e-4f;
    Floats result = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    result = result * rest + 8.3334519073e-3f;
    result = result * rest + 4.1665795894e-2f;
    result = result * rest + 1.6666665459e-1f;
    result = result * rest + 5.0000001201e-1f;
    result = result * rest * rest + rest + 1.0f;
    return result * of_bits((__builtin_convertvector(power, Ints) + 127) << 23);
}

// Natural logarithm of normal numbers from 1 on, within two units in the last place; NaN stays NaN. The polynomial is
// that of Cephes' logf (Moshier).
inline Floats logarithm(const Floats& value) {
    const Ints bits = bits_of(value);
    Floats mantissa = of_bits((bits & 0x007fffff) | 0x3f000000);  // 0.5 to 1
    Floats exponent = __builtin_convertvector((bits >> 23) - 126, Floats);
    const Ints small = mantissa < 0.707106781186547524f;
    exponent = small ? exponent - 1.0f : exponent;
    mantissa = (small ? mantissa + mantissa : mantissa) - 1.0f;
    const Floats square = mantissa * mantissa;
    Floats result = mantissa * 7.0376836292e-2f - 1.1514610310e-1f;
    result = result * mantissa + 1.1676998740e-1f;
    result = result * mantissa - 1.2420140846e-1f;
    result = result * mantissa + 1.4249322787e-1f;
    result = result * mantissa - 1.6668057665e-1f;
    result = result * mantissa + 2.0000714765e-1f;
    result = result * mantissa - 2.4999993993e-1f;
    result = result * mantissa + 3.3333331174e-1f;
    result = result * mantissa * square + exponent * -2.12194440e-4f - 0.5f * square;
    result = mantissa + result + exponent * 0.693359375f;
    return value == value ? result : value;
}

}  // namespace segedge

#endif  // SEGEDGE_TRAIN_VECTORS_H
