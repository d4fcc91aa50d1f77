// A module with a library missing.
extern "C" int ganymede_absent();
extern "C" int ganymede_uses_absent() { return ganymede_absent(); }
