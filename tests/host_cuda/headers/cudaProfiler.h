// What pycuda wants of the toolkit's header of this name; packages that carry cuda.h leave it out.
// Source: CUDA Driver API, "Profiler Control".

#ifndef SEGEDGE_CUDA_PROFILER_H
#define SEGEDGE_CUDA_PROFILER_H

#include <cuda.h>

typedef enum CUoutput_mode_enum { CU_OUT_KEY_VALUE_PAIR = 0, CU_OUT_CSV = 1 } CUoutput_mode;

#ifdef __cplusplus
extern "C" {
#endif

CUresult cuProfilerInitialize(const char *configuration, const char *output, CUoutput_mode mode);
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);

#ifdef __cplusplus
}
#endif

#endif
