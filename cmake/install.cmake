# install.cmake - where `make install` puts things, below PREFIX.
include(GNUInstallDirs)

install(TARGETS carillon RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES packaging/carillon.sample.yaml LICENSE README.md
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/carillon)

# The unit names the binary by its full path, which is known only now.
install(CODE "
  file(READ \"${CMAKE_SOURCE_DIR}/packaging/carillon.service\" unit)
  string(REPLACE \"/usr/local/\" \"\${CMAKE_INSTALL_PREFIX}/\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/carillon.service\" \"\${unit}\")")
install(FILES ${CMAKE_BINARY_DIR}/carillon.service DESTINATION lib/systemd/system)
