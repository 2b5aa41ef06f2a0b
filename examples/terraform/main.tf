# A virtual machine on Azure with a sidecar beside a service: cloud-init installs the package, writes the configuration, and
# enrols with a join token that the machine takes from Key Vault by its own identity. The token is in no plan and no state:
#
#   TF_VAR_join_token=$(ssh ca.hospital.example runuser -u myelin-ca -- \
#     myelin ca token --dir /var/lib/myelin-ca/authority --service ehr) terraform apply
#
# In the environment, for what stands on a command line, others on this machine can read.

terraform {
  required_version = ">= 1.11" # ephemeral variables and write-only arguments

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.23"
    }
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  features {}
}

resource "azurerm_user_assigned_identity" "sidecar" {
  name                = "${var.service}-sidecar"
  location            = var.location
  resource_group_name = var.resource_group
}

# The token: good for an hour and for one key, so what is left in the vault opens nothing.
resource "azurerm_key_vault_secret" "join_token" {
  name             = "${var.service}-myelin-join-token"
  key_vault_id     = var.key_vault_id
  value_wo         = var.join_token
  value_wo_version = var.join_token_version
}

# This machine may read this one secret.
resource "azurerm_role_assignment" "join_token" {
  scope                = azurerm_key_vault_secret.join_token.resource_versionless_id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.sidecar.principal_id
}

# Mutual TLS from where peers are, and nothing else.
resource "azurerm_network_security_group" "sidecar" {
  name                = "${var.service}-sidecar"
  location            = var.location
  resource_group_name = var.resource_group

  security_rule {
    name                       = "mutual-tls"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_port_range          = "*"
    source_address_prefixes    = var.peer_networks
    destination_port_range     = "8443"
    destination_address_prefix = "*"
  }

  security_rule {
    name                       = "nothing-else"
    priority                   = 4096
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_port_range          = "*"
    source_address_prefix      = "*"
    destination_port_range     = "*"
    destination_address_prefix = "*"
  }
}

resource "azurerm_network_interface" "sidecar" {
  name                = "${var.service}-sidecar"
  location            = var.location
  resource_group_name = var.resource_group

  ip_configuration {
    name                          = "internal"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_network_interface_security_group_association" "sidecar" {
  network_interface_id      = azurerm_network_interface.sidecar.id
  network_security_group_id = azurerm_network_security_group.sidecar.id
}

resource "azurerm_linux_virtual_machine" "service" {
  name                       = var.service
  location                   = var.location
  resource_group_name        = var.resource_group
  size                       = var.size
  network_interface_ids      = [azurerm_network_interface.sidecar.id]
  admin_username             = "operator"
  secure_boot_enabled        = true
  vtpm_enabled               = true
  encryption_at_host_enabled = true

  admin_ssh_key {
    username   = "operator"
    public_key = var.operator_ssh_key
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.sidecar.id]
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
  }

  source_image_reference {
    publisher = "Debian"
    offer     = "debian-12"
    sku       = "12-gen2"
    version   = "latest"
  }

  # Names and addresses only: what is in here is in the state, too.
  custom_data = base64encode(templatefile("${path.module}/cloud-init.yaml.tftpl", {
    service         = var.service
    trust_domain    = var.trust_domain
    peer            = var.peer
    est_url         = var.est_url
    est_fingerprint = var.est_fingerprint
    package_url     = var.package_url
    package_sha256  = var.package_sha256
    token_url       = azurerm_key_vault_secret.join_token.versionless_id
    client_id       = azurerm_user_assigned_identity.sidecar.client_id
  }))

  # The package is configured before anybody can reach it, and the identity may read the token.
  depends_on = [
    azurerm_network_interface_security_group_association.sidecar,
    azurerm_role_assignment.join_token,
  ]
}
