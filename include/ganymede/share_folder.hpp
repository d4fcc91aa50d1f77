// Where a program that uses the library finds what is installed with it: recipes and mnist-mini.
#pragma once

namespace ganymede {

/// Names the folder share/ganymede of an installation, to be looked at after $GANYMEDE_SHARE and after
/// ../share/ganymede beside the executable's folder. The text must outlive every use of the library.
void set_installed_share_folder(const char* folder) noexcept;

#ifdef GANYMEDE_SHARE_DIR
// Defined for those who have the library from find_package(ganymede), which knows where it was found.
inline const bool installed_share_folder_is_set = (set_installed_share_folder(GANYMEDE_SHARE_DIR), true);
#endif

}  // namespace ganymede
