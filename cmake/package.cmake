# What `cmake --install` brings besides programs and library, and the Debian package:
#
#     cmake --workflow --preset package      # build/package/holdfast_<version>_<arch>.deb
#
# An installation by itself never writes a configuration, so that it can't replace one; the
# package does, as a conffile.
set(packaging ${CMAKE_CURRENT_SOURCE_DIR}/packaging)
configure_file(${packaging}/holdfast.service.in holdfast.service @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/holdfast.service DESTINATION lib/systemd/system)
install(FILES ${packaging}/holdfast.sysusers DESTINATION lib/sysusers.d
        RENAME holdfast.conf)
install(FILES ${packaging}/holdfast.bash-completion
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME holdfast)
# As in the sources, so that the README's links lead on.
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docs/alerts.md docs/dashboard.md docs/operations.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(DIRECTORY docs/examples docs/images docs/prometheus
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)

if(NOT HF_PACKAGE)
    install(FILES docs/holdfast.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES docs/holdfast.yaml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
    return()
endif()
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    message(FATAL_ERROR "The package is for /usr: cmake --workflow --preset package")
endif()

# Debian wants these compressed, without a time in them.
function(install_compressed source name destination)
    set(compressed ${CMAKE_CURRENT_BINARY_DIR}/packaging/${name}.gz)
    add_custom_command(OUTPUT ${compressed}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/packaging
        COMMAND gzip -9nc ${source} > ${compressed}
        DEPENDS ${source} VERBATIM)
    string(MAKE_C_IDENTIFIER package_${name} target)
    add_custom_target(${target} ALL DEPENDS ${compressed})
    install(FILES ${compressed} DESTINATION ${destination})
endfunction()
set(docs ${CMAKE_CURRENT_SOURCE_DIR}/docs)
install_compressed(${docs}/holdfast.1 holdfast.1 ${CMAKE_INSTALL_MANDIR}/man1)
install_compressed(${docs}/holdfast.yaml.5 holdfast.yaml.5 ${CMAKE_INSTALL_MANDIR}/man5)
install_compressed(${packaging}/deb/changelog changelog ${CMAKE_INSTALL_DOCDIR})
install(FILES ${packaging}/deb/lintian-overrides
        DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME holdfast)
install(FILES ${packaging}/deb/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docs/examples/holdfast.yaml DESTINATION /etc/holdfast
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME holdfast)
set(CPACK_PACKAGE_VENDOR Holdfast)
set(CPACK_PACKAGE_CONTACT "Holdfast maintainers <holdfast@localhost.localdomain>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "crash-safe ingestion into MySQL and MariaDB")
set(CPACK_PACKAGE_DESCRIPTION
"Takes batches of records over HTTP or from files, acknowledges each only
once it is synced to a journal on disk, and applies it to MySQL or MariaDB
exactly once.
.
This package has the engine with its unit, the command line, and the library
with its header and pkg-config file.")
set(CPACK_SET_DESTDIR ON) # for /etc
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
# Who makes the user; the small one where there is no systemd.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd-standalone-sysusers | systemd")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "mariadb-server")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${packaging}/deb/postinst ${packaging}/deb/prerm ${packaging}/deb/postrm
    ${packaging}/deb/conffiles ${packaging}/deb/triggers)
include(CPack)
