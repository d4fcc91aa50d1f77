// Translates any exception to an Error.
#include "comm/failure.hpp"

#include <filesystem>
#include <new>
#include <string>

namespace ganymede::comm {

Error as_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ExitCode::launch, "out of memory; use a smaller batch or model, fewer ranks, or a larger machine"};
  } catch (const std::filesystem::filesystem_error& error) {
    return {ExitCode::data, error.what()};
  } catch (const std::exception& error) {
    return {ExitCode::launch, std::string("unexpected failure: ") + error.what()};
  } catch (...) {
    return {ExitCode::launch, "unexpected failure of an unknown kind"};
  }
}

}  // namespace ganymede::comm
