// TensorFlow's C interface of operations, in the few forms that the kernels need.

#ifndef SEGEDGE_OPERATION_H
#define SEGEDGE_OPERATION_H

#include <cstdint>
#include <vector>

#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

namespace segedge {

// One run of an operation: its inputs, its outputs, and whether it failed.
class Run {
   public:
    explicit Run(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
    Run(const Run&) = delete;
    ~Run() {
        if (TF_GetCode(status_) != TF_OK) TF_OpKernelContext_Failure(context_, status_);
        for (TF_Tensor* const tensor : tensors_) TF_DeleteTensor(tensor);
        TF_DeleteStatus(status_);
    }

    template <typename Value>
    const Value* input(int index) {
        return static_cast<const Value*>(data(read(index)));
    }

    std::vector<std::int64_t> shape(int index) {
        const TF_Tensor* const tensor = read(index);
        std::vector<std::int64_t> sizes;
        for (int axis = 0; tensor && axis < TF_NumDims(tensor); ++axis) sizes.push_back(TF_Dim(tensor, axis));
        return sizes;
    }

    // Makes an output of floats; nullptr where there is no memory, and the run has then failed.
    float* output(int index, const std::vector<std::int64_t>& shape) {
        std::int64_t count = 1;
        for (const std::int64_t size : shape) count *= size;
        TF_Tensor* const tensor =
            TF_AllocateOutput(context_, index, TF_FLOAT, shape.data(), static_cast<int>(shape.size()),
                              static_cast<std::size_t>(count) * sizeof(float), status_);
        return static_cast<float*>(data(keep(tensor)));
    }

    // Requires a condition on the inputs; the run has failed with this message where it does not hold.
    bool require(bool holds, const char* message) {
        if (!holds) TF_SetStatus(status_, TF_INVALID_ARGUMENT, message);
        return holds;
    }

    bool ok() const { return TF_GetCode(status_) == TF_OK; }

   private:
    TF_Tensor* read(int index) {
        TF_Tensor* tensor = nullptr;
        if (ok()) TF_GetInput(context_, index, &tensor, status_);
        return keep(tensor);
    }

    TF_Tensor* keep(TF_Tensor* tensor) {
        if (tensor) tensors_.push_back(tensor);
        return tensor;
    }

    static void* data(TF_Tensor* tensor) { return tensor ? TF_TensorData(tensor) : nullptr; }

    TF_OpKernelContext* const context_;
    TF_Status* const status_;
    std::vector<TF_Tensor*> tensors_;
};

// The attributes of an operation while it is made, by name.
class Attributes {
   public:
    explicit Attributes(TF_OpKernelConstruction* construction)
        : construction_(construction), status_(TF_NewStatus()) {}
    Attributes(const Attributes&) = delete;
    ~Attributes() {
        if (TF_GetCode(status_) != TF_OK) TF_OpKernelConstruction_Failure(construction_, status_);
        TF_DeleteStatus(status_);
    }

    int whole(const char* name) {
        std::int32_t value = 0;
        TF_OpKernelConstruction_GetAttrInt32(construction_, name, &value, status_);
        return value;
    }

    float real(const char* name) {
        float value = 0;
        TF_OpKernelConstruction_GetAttrFloat(construction_, name, &value, status_);
        return value;
    }

   private:
    TF_OpKernelConstruction* const construction_;
    TF_Status* const status_;
};

// An operation is a class with a constructor from its attributes and `void compute(Run&) const`.
template <typename Operation>
void* create_operation(TF_OpKernelConstruction* construction) {
    Attributes attributes(construction);
    return new Operation(attributes);
}

template <typename Operation>
void compute_operation(void* operation, TF_OpKernelContext* context) {
    Run run(context);
    static_cast<const Operation*>(operation)->compute(run);
}

template <typename Operation>
void delete_operation(void* operation) {
    delete static_cast<Operation*>(operation);
}

// Gives output `to` the shape of input `from`.
inline void copy_shape(TF_ShapeInferenceContext* context, int from, int to, TF_Status* status) {
    TF_ShapeHandle* const shape = TF_NewShapeHandle();
    TF_ShapeInferenceContextGetInput(context, from, shape, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, to, shape, status);
    TF_DeleteShapeHandle(shape);
}

// Registers an operation of the processor: "name: type" of each input, output and attribute, and the output shapes.
template <typename Operation>
bool register_operation(const char* name, const std::vector<const char*>& inputs,
                        const std::vector<const char*>& outputs, const std::vector<const char*>& attributes,
                        void (*infer_shapes)(TF_ShapeInferenceContext*, TF_Status*)) {
    TF_Status* const status = TF_NewStatus();
    TF_OpDefinitionBuilder* const definition = TF_NewOpDefinitionBuilder(name);
    for (const char* const input : inputs) TF_OpDefinitionBuilderAddInput(definition, input);
    for (const char* const output : outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
    for (const char* const attribute : attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
    TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, infer_shapes);
    TF_RegisterOpDefinition(definition, status);
    if (TF_GetCode(status) == TF_OK) {
        TF_KernelBuilder* const kernel =
            TF_NewKernelBuilder(name, "CPU", create_operation<Operation>, compute_operation<Operation>,
                                delete_operation<Operation>);
        TF_RegisterKernelBuilder(name, kernel, status);
    }
    const bool registered = TF_GetCode(status) == TF_OK;
    TF_DeleteStatus(status);
    return registered;
}

}  // namespace segedge

#endif  // SEGEDGE_OPERATION_H
