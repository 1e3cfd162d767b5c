# Run by cmake --install, because only then the prefix is known. A configuration that is there stays.
set(root "$ENV{DESTDIR}")
file(READ "${CMAKE_CURRENT_LIST_DIR}/sluice.service" unit)
string(REPLACE "/usr/bin/sluice" "${CMAKE_INSTALL_PREFIX}/bin/sluice" unit "${unit}")
set(path "${root}${CMAKE_INSTALL_PREFIX}/lib/systemd/system/sluice.service")
message(STATUS "Installing: ${path}")
file(WRITE "${path}" "${unit}")
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$" AND NOT EXISTS "${root}/etc/sluice/sluice.yaml")
  file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/sluice.yaml" DESTINATION /etc/sluice) # which puts DESTDIR in front itself
endif()
