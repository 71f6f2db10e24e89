// torch's device "emulated:0", see device.py: the dispatcher keeps its tensors apart from the CPU's,
// and every operator runs on the CPU, on tensors that share their memory.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <random>
#include <set>

using at::Tensor;
using c10::DeviceType;
using Sizes = c10::SymIntArrayRef;

static const c10::Device HERE(DeviceType::PrivateUse1, 0);
static const c10::Device CPU(DeviceType::CPU);
static bool has_float64 = true, rounds_products = false, unordered = false;

static at::ScalarType allowed(std::optional<at::ScalarType> dtype) {
  auto t = at::dtype_or_default(dtype);
  TORCH_CHECK_TYPE(has_float64 || (t != at::kDouble && t != at::kComplexDouble),
                   "Cannot convert a tensor to float64: this device has no float64");
  return t;
}

// What torch asks of a device: its current device, memory, generators.

struct Guard final : c10::impl::DeviceGuardImplInterface {
  DeviceType type() const override { return DeviceType::PrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return HERE; }
  c10::Device getDevice() const override { return HERE; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void synchronizeDevice(c10::DeviceIndex) const override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, HERE); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Allocator final : at::Allocator {
  at::DataPtr allocate(size_t n) override {
    void* p = c10::alloc_cpu(n);
    return {p, p, &c10::free_cpu, HERE};
  }
  at::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, std::size_t n) const override { memcpy(to, from, n); }
};
static Allocator allocator;
REGISTER_ALLOCATOR(DeviceType::PrivateUse1, &allocator);

struct Generator final : at::CPUGeneratorImpl {
  Generator() { move_to(HERE); }
  void move_to(c10::Device device) { device_ = device; }
};

static const at::Generator& default_generator() {
  static at::Generator g = at::make_generator<Generator>();
  return g;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  at::Allocator* getPinnedMemoryAllocator() const override { return at::GetAllocator(CPU.type()); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<Generator>();
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return default_generator();
  }
};

// The CPU's tensor of the same memory, and back.

static Tensor to_cpu(const Tensor& t) {
  if (!t.defined()) return t;
  if (t.is_cpu()) {
    TORCH_CHECK(t.dim() == 0, "Expected all tensors to be on the same device, but found at least ",
                "two devices, ", HERE, " and cpu!");
    return t;
  }
  auto options = t.options().device(CPU);
  if (t._is_zerotensor()) return at::zeros(t.sizes(), options);
  if (t.storage().nbytes() == 0) return at::empty(t.sizes(), options);  // `out=` may resize it
  auto same = at::from_blob(t.data_ptr(), t.sizes(), t.strides(), [t](void*) {}, options);
  same._set_conj(t.is_conj());
  same._set_neg(t.is_neg());
  return same;
}

static Tensor to_here(const Tensor& t) {
  if (!t.defined()) return t;
  allowed(t.scalar_type());
  if (t._is_zerotensor()) return to_here(at::zeros(t.sizes(), t.options()));
  Tensor dense = t.resolve_conj().resolve_neg();
  auto options = dense.options().device(HERE);
  auto release = [dense](void*) {};
  return at::from_blob(dense.data_ptr(), dense.sizes(), dense.strides(), release, options, HERE);
}

static bool is_product(const c10::OperatorHandle& op) {
  static const std::set<std::string> names{"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"};
  return names.count(op.operator_name().name);
}

// Factors as TF32 has them, with 10 bits of a mantissa, where torch's settings for CUDA allow that.
static Tensor factor(const Tensor& t, bool of_convolution) {
  if (!rounds_products || !t.defined() || t.scalar_type() != at::kFloat) return t;
  const auto op = of_convolution ? at::Float32Op::CONV : at::Float32Op::MATMUL;
  const auto set = at::globalContext().float32Precision(at::Float32Backend::CUDA, op);
  if (set != at::Float32Precision::TF32) return t;
  return (t.contiguous().view(at::kInt) + 0x1000).bitwise_and(~0x1fff).view(at::kFloat);
}

// A sum whose terms are added in another order each time, as by atomic additions.
static void reorder(const Tensor& sum) {
  static std::minstd_rand random(1);
  if (!unordered || !sum.defined() || !sum.is_floating_point()) return;
  auto rounding = at::empty(sum.sizes(), at::kDouble);
  const double eps = sum.scalar_type() == at::kDouble ? 0x1p-52 : 0x1p-23;
  for (int64_t i = 0; i < sum.numel(); ++i)
    rounding.data_ptr<double>()[i] = 1 + eps * (double(random()) / random.max() - 0.5);
  sum.mul_(rounding.to(sum.scalar_type()));
}

// Every operator that is not below.

struct Arguments {
  bool factors = false;
  std::vector<std::pair<Tensor, Tensor>> moved;  // here, on the CPU
  std::vector<Generator*> generators;

  Tensor move(const Tensor& t) {
    moved.emplace_back(t, to_cpu(t));
    return factors ? factor(moved.back().second, false) : moved.back().second;
  }
  void move(c10::IValue& v) {
    if (v.isTensor()) {
      v = move(v.toTensor());
    } else if (v.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : v.toTensorVector()) list.push_back(move(t));
      v = list;
    } else if (v.isOptionalTensorList()) {  // indices, which may be the CPU's
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& t : v.toOptionalTensorVector())
        list.push_back(t && t->defined() && !t->is_cpu() ? std::optional(move(*t)) : t);
      v = list;
    } else if (v.isDevice()) {
      v = CPU;
    } else if (v.isGenerator()) {
      auto* g = dynamic_cast<Generator*>(v.toGenerator().unsafeGetGeneratorImpl());
      TORCH_CHECK(g, "Expected a '", HERE, "' device type for generator");
      generators.push_back(g);
    }
  }
  Tensor back(const Tensor& t) const {
    for (const auto& [here, cpu] : moved) {
      if (!cpu.defined() || !cpu.is_same(t)) continue;
      auto* own = here.unsafeGetTensorImpl();
      if (here.storage().nbytes() == 0 && cpu.numel())
        own->set_storage_keep_dtype(to_here(cpu).storage());
      if (here.sizes() != cpu.sizes()) own->set_sizes_and_strides(cpu.sizes(), cpu.strides());
      return here;
    }
    return to_here(t);
  }
  void back(c10::IValue& v) const {
    if (v.isTensor()) {
      v = back(v.toTensor());
    } else if (v.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& t : v.toTensorVector()) list.push_back(back(t));
      v = list;
    }
  }
};

// Random numbers come from a generator of this device, for the time of a call one of the CPU's.
struct Drawing {
  const std::vector<Generator*>& given;
  bool from_default;
  at::Generator cpu = at::detail::getDefaultCPUGenerator(), mine = default_generator();
  Tensor before = cpu.get_state();

  Drawing(const std::vector<Generator*>& given, bool draws)
      : given(given), from_default(draws && given.empty()) {
    for (auto* g : given) g->move_to(CPU);
    if (from_default) cpu.set_state(mine.get_state());
  }
  ~Drawing() {
    for (auto* g : given) g->move_to(HERE);
    if (from_default) {
      mine.set_state(cpu.get_state());
      cpu.set_state(before);
    }
  }
};

static void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  TORCH_CHECK_NOT_IMPLEMENTED(has_float64 || op.operator_name().name != "aten::linalg_qr",
                              "The operator 'aten::linalg_qr' is not implemented for ", HERE);
  Arguments arguments;
  auto last = [&](size_t n) { return stack->begin() + (stack->size() - n); };
  auto v = last(op.schema().arguments().size());
  for (const auto& a : op.schema().arguments()) {
    arguments.factors = is_product(op) && !(a.alias_info() && a.alias_info()->isWrite());
    arguments.move(*v++);
  }
  {
    Drawing drawing(arguments.generators, op.hasTag(at::Tag::nondeterministic_seeded));
    op.callBoxed(stack);
  }
  for (auto v = last(op.schema().returns().size()); v != stack->end(); ++v) {
    if (is_product(op)) reorder(v->toTensor());
    arguments.back(*v);
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

// Memory, views, copies, and operators that torch leaves to a device.

static const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);

static Tensor empty(Sizes size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                    std::optional<at::Device>, std::optional<bool>,
                    std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator, KEYS, allowed(dtype),
                                   format);
}
static Tensor empty_strided(Sizes size, Sizes stride, std::optional<at::ScalarType> dtype,
                            std::optional<at::Layout>, std::optional<at::Device>,
                            std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride), &allocator, KEYS,
                                           allowed(dtype));
}
static Tensor copy(const Tensor& from, const Tensor& to, bool) {
  auto cpu = [](const Tensor& t) { return t.is_cpu() ? t : to_cpu(t); };
  cpu(to).copy_(cpu(from));
  return to;
}
static Tensor as_strided(const Tensor& t, Sizes size, Sizes stride,
                         std::optional<c10::SymInt> offset) {
  auto start = offset ? std::optional(offset->expect_int()) : std::nullopt;
  return at::native::as_strided_tensorimpl(t, C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride), start);
}
static Tensor view(const Tensor& t, Sizes size) {
  return at::native::view(t, C10_AS_INTARRAYREF_SLOW(size));
}
static Tensor reshape_alias(const Tensor& t, Sizes size, Sizes stride) {
  return at::native::_reshape_alias(t, C10_AS_INTARRAYREF_SLOW(size),
                                    C10_AS_INTARRAYREF_SLOW(stride));
}
static Tensor unfold(const Tensor& t, int64_t axis, int64_t size, int64_t step) {
  return at::native::unfold(t, axis, size, step);
}
static Tensor& set_storage(Tensor& t, at::Storage s, c10::SymInt start, Sizes size, Sizes stride) {
  return at::native::set_storage_cpu_(t, s, start.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                                      C10_AS_INTARRAYREF_SLOW(stride));
}
static Tensor& set_whole_storage(Tensor& t, at::Storage s) {
  const auto n = static_cast<int64_t>(s.nbytes() / t.element_size());
  return at::native::set_storage_cpu_(t, s, 0, {n}, {1});
}
static at::Scalar item(const Tensor& t) { return to_cpu(t).item(); }

static Tensor convolution(const Tensor& x, const Tensor& w, const std::optional<Tensor>& b,
                          Sizes stride, Sizes padding, Sizes dilation, bool transposed,
                          Sizes output_padding, c10::SymInt groups) {
  auto bias = b ? std::optional(to_cpu(*b)) : b;
  return to_here(at::convolution_symint(factor(to_cpu(x), true), factor(to_cpu(w), true), bias, stride, padding, dilation,
                                        transposed, output_padding, groups));
}
static std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& g, const Tensor& x, const Tensor& w, Sizes stride, Sizes padding, Sizes dilation,
    bool transposed, Sizes output_padding, c10::SymInt groups, std::array<bool, 3> mask) {
  std::vector<c10::SymInt> bias{w.sym_size(transposed ? 1 : 0)};
  auto [a, b, c] = at::convolution_backward_symint(
      factor(to_cpu(g), true), factor(to_cpu(x), true), factor(to_cpu(w), true), Sizes(bias), stride, padding, dilation, transposed,
      output_padding, groups, mask);
  for (const auto& sum : {a, b, c}) reorder(sum);
  return {to_here(a), to_here(b), to_here(c)};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy);
  m.impl("as_strided", &as_strided);
  m.impl("view", &view);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("unfold", &unfold);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("set_.source_Storage", &set_whole_storage);
  m.impl("_local_scalar_dense", &item);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
}

// Torch resolves a conjugate by a clone, which it copies from: `copy` sees to it.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  m.def("get_rng_state", [] { return default_generator().get_state(); });
  m.def("set_rng_state", [](const Tensor& state) {
    at::Generator g = default_generator();
    g.set_state(state);
  });
  m.def("manual_seed", [](uint64_t seed) {
    at::Generator g = default_generator();
    g.set_current_seed(seed);
  });
  m.def("unordered", [](bool is) { return std::exchange(unordered, is); });
  m.def("rounded_products",
        [](bool rounds) { return std::exchange(rounds_products, rounds); });
  m.def("float64", [](bool has) { return std::exchange(has_float64, has); });
}
